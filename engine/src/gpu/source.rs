//! Where weights come from: a checkpoint, or a formula in tests.

use crate::checkpoint::{Checkpoint, StoredType, TensorSpec};
use crate::{Pending, Result, ready};
use std::borrow::Cow;
use std::ops::Range;

/// Gives tensors by rows.
pub trait TensorSource {
    /// How `spec` is stored.
    ///
    /// # Errors
    /// The tensor is missing or of another shape.
    fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType>;

    /// Waits until the tensor can be read: weights may still be on their way.
    ///
    /// # Errors
    /// They will not come.
    fn arrived<'a>(&'a self, _spec: &'a TensorSpec) -> Pending<'a, ()> {
        ready(Ok(()))
    }

    /// The stored bytes of some rows (of the first dimension).
    ///
    /// # Errors
    /// As [`Self::stored_type`], and values that are not finite.
    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>>;

    /// All values.
    ///
    /// # Errors
    /// As [`Self::rows`].
    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>>;
}

impl TensorSource for Checkpoint {
    fn arrived<'a>(&'a self, spec: &'a TensorSpec) -> Pending<'a, ()> {
        Box::pin(self.arrived(spec))
    }

    fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType> {
        self.stored_type(spec)
    }

    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        self.stored_rows(spec, rows)
    }

    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        self.read_f32(spec)
    }
}

/// Values from a function of the tensor.
#[derive(Debug)]
pub struct Formula<F>(pub F);

impl<F: Fn(&TensorSpec) -> Vec<f32>> TensorSource for Formula<F> {
    fn stored_type(&self, _spec: &TensorSpec) -> Result<StoredType> {
        Ok(StoredType::F32)
    }

    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let width: usize = spec.shape[1..].iter().product();
        let values = (self.0)(spec);
        Ok(Cow::Owned(
            bytemuck::cast_slice(&values[rows.start * width..rows.end * width]).to_vec(),
        ))
    }

    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        Ok((self.0)(spec))
    }
}
