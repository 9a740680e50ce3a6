//! Values to the bytes of their storage type, piece by piece.

use super::blocks::{VALUES, q4_0, q8_0};
use super::stored::first;
use super::{AtomicFile, StoredType, TensorSpec};
use crate::{Error, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Takes the values of one tensor, some at a time, and puts them into its file.
pub struct TensorWriter<'a> {
    file: &'a mut AtomicFile,
    spec: &'a TensorSpec,
    stored: StoredType,
    /// Values written so far.
    done: usize,
}

impl<'a> TensorWriter<'a> {
    pub(super) fn new(file: &'a mut AtomicFile, spec: &'a TensorSpec, stored: StoredType) -> Self {
        let done = 0;
        Self {
            file,
            spec,
            stored,
            done,
        }
    }

    /// Appends `values`: any number of them, but whole blocks of 32 of a quantised tensor.
    ///
    /// # Errors
    /// The file cannot be written, or a value is not finite or too large for the type.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        if let Some((at, value)) = first(values, |v| !v.is_finite()) {
            let what = format!("tensor {} holds {value} at value {}", self.spec.name, self.done + at);
            return Err(Error::NotFinite(what));
        }
        let size = self.stored.block().0;
        if !values.len().is_multiple_of(size) {
            let (name, n) = (&self.spec.name, values.len());
            return Err(Error::Argument(format!(
                "tensor {name}: {n} values are no whole blocks of {size}"
            )));
        }
        let Some(bytes) = encode(values, self.stored) else {
            let (name, stored) = (&self.spec.name, self.stored);
            return Err(Error::Argument(format!(
                "tensor {name}: {stored} can be read but not written"
            )));
        };
        // What was finite and is no more was too large.
        if let Some((block, _)) = self.stored.not_finite(&bytes) {
            let block = values[block * size..].iter().take(size);
            let value = block.fold(0.0f32, |l, v| if v.abs() > l.abs() { *v } else { l });
            let (name, stored) = (&self.spec.name, self.stored);
            let what = format!("tensor {name} holds {value}, which {stored} cannot: write it as f32");
            return Err(Error::Argument(what));
        }
        self.done += values.len();
        self.file.write(&bytes)
    }

    /// The tensor must be whole.
    pub(super) fn finish(self) -> Result<()> {
        if self.done == self.spec.elements() {
            return Ok(());
        }
        let TensorSpec { name, shape } = self.spec;
        let what = format!("tensor {name} has {} values for shape {shape:?}", self.done);
        Err(Error::Argument(what))
    }
}

/// The bytes of `values`; `None` for types that are only read.
fn encode(values: &[f32], stored: StoredType) -> Option<Vec<u8>> {
    Some(match stored {
        StoredType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        StoredType::F16 => {
            let mut narrow = vec![f16::ZERO; values.len()];
            narrow.convert_from_f32_slice(values);
            narrow.iter().flat_map(|v| v.to_le_bytes()).collect()
        }
        StoredType::BF16 => {
            let mut narrow = vec![bf16::ZERO; values.len()];
            narrow.convert_from_f32_slice(values);
            narrow.iter().flat_map(|v| v.to_le_bytes()).collect()
        }
        StoredType::Q8_0 => blocks(values, q8_0::quantise),
        StoredType::Q4_0 => blocks(values, q4_0::quantise),
        StoredType::Q4_1 | StoredType::Q5_0 | StoredType::Q4K | StoredType::Q6K => return None,
    })
}

fn blocks<const N: usize>(values: &[f32], quantise: fn(&[f32; VALUES]) -> [u8; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / VALUES * N);
    for block in values.as_chunks().0 {
        bytes.extend_from_slice(&quantise(block));
    }
    bytes
}
