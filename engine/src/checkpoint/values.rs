//! The values of a tensor: as they are stored, for a device that computes with them so, and as f32.

use super::blocks::VALUES;
use super::gguf::file_row;
use super::header::{Declared, Entry};
use super::{Checkpoint, StoredType, TensorSpec};
use crate::{Error, Result};
use safetensors::tensor::Dtype;
use std::borrow::Cow;
use std::ops::Range;

impl Checkpoint {
    /// The values of one tensor as f32, row after row; refuses values that are not finite.
    ///
    /// # Errors
    /// The tensor is missing, has another shape or an unsupported type, or holds a NaN or an infinity.
    pub fn read_f32(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        self.read_rows(spec, 0..spec.rows())
    }

    /// The values of some whole rows of a tensor as f32; see [`TensorSpec::rows`].
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`], and rows that the tensor does not have.
    pub fn read_rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Vec<f32>> {
        let stored = self.stored_type(spec)?;
        let mut values = Vec::with_capacity(rows.len().saturating_mul(spec.columns()).min(spec.elements()));
        stored.decode(&self.stored_rows(spec, rows)?, &mut values);
        Ok(values)
    }

    /// How one tensor is stored.
    ///
    /// # Errors
    /// The tensor is missing, has another shape, or an unsupported type.
    pub fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType> {
        Ok(self.entry(spec)?.1)
    }

    /// The bytes of some whole rows of a tensor as they lie in the file: little-endian, row after row, aligned to nothing.
    /// [`TensorSpec::rows`] says what a row is: of a vector, one value; of the patch embedding, one patch's weights.
    ///
    /// # Errors
    /// As [`Checkpoint::stored_type`]; rows that the tensor does not have; in these rows a value (of a quantised tensor: a
    /// block's scale) that is NaN or infinite.
    pub fn stored_rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let (entry, stored) = self.entry(spec)?;
        let columns = spec.columns();
        let row = stored.row_bytes(columns).unwrap_or(0);
        let no_rows = || {
            let what = format!("tensor {} has {} rows: no rows {rows:?}", spec.name, spec.rows());
            Error::Argument(what)
        };
        if rows.start > rows.end || rows.end > spec.rows() {
            return Err(no_rows());
        }
        // The entry's length is that of all rows.
        let start = entry.range.start;
        let read = |rows: Range<usize>| {
            let range = start + rows.start * row..start + rows.end * row;
            self.files[entry.file].read(range)?.ok_or_else(no_rows)
        };
        let bytes = match entry.interleaved {
            None => read(rows.clone())?,
            Some(head) => {
                let mut gathered = Vec::with_capacity(rows.len() * row);
                for at in rows.clone().map(|at| file_row(at, head)) {
                    gathered.extend_from_slice(&read(at..at + 1)?);
                }
                Cow::Owned(gathered)
            }
        };
        let Some((block, number)) = stored.not_finite(&bytes) else {
            return Ok(bytes);
        };
        let at = rows.start * columns + block * stored.block().0;
        let what = if stored.is_quantised() {
            let (row, size) = (at / columns.max(1), stored.block().0);
            format!("has the scale {number} in row {row}, block {}", at % columns / size)
        } else {
            format!("holds {number} at value {at}")
        };
        let what = format!("tensor {} {what}: the weights are damaged", spec.name);
        Err(Error::invalid(&self.place, what))
    }

    /// Lets go of the memory that a mapped file takes for one tensor, after it was copied: else loading would hold the
    /// weights twice. They can still be read, from the file again.
    pub fn release(&mut self, spec: &TensorSpec) {
        if let Some(entry) = self.tensors.get(&spec.name) {
            self.files[entry.file].release(entry.range.clone());
        }
    }

    /// The entry of `spec` and its type; its bytes are exactly those that shape and type call for.
    fn entry(&self, spec: &TensorSpec) -> Result<(&Entry, StoredType)> {
        let name = &spec.name;
        let wrong = |what: String| Error::invalid(&self.place, format!("tensor {name} {what}"));
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| wrong(format!("is missing, but {} calls for it", self.plan)))?;
        let stored = match &entry.dtype {
            Declared::Safetensors(Dtype::F32) => StoredType::F32,
            Declared::Safetensors(Dtype::F16) => StoredType::F16,
            Declared::Safetensors(Dtype::BF16) => StoredType::BF16,
            Declared::Safetensors(Dtype::U8) => {
                return blocks_of(entry, spec).map(|stored| (entry, stored)).map_err(wrong);
            }
            Declared::Gguf(Ok(stored)) if stored.is_quantised() && !spec.is_matrix() => {
                return Err(wrong(format!(
                    "is stored as {stored}, but only matrices may be quantised"
                )));
            }
            Declared::Gguf(Ok(stored)) => *stored,
            Declared::Gguf(Err(other)) => {
                let readable = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K and Q6_K can be read";
                return Err(wrong(format!("is stored as {other}: {readable}")));
            }
            Declared::Safetensors(other) => {
                let readable = "only F32, F16 and BF16, or U8 blocks of q8_0 and q4_0, can be read";
                return Err(wrong(format!("is stored as {other}: {readable}")));
            }
        };
        // PyTorch saves a scalar parameter without dimensions.
        let scalar = entry.shape.is_empty() && spec.shape == [1];
        if entry.shape != spec.shape && !scalar {
            return Err(wrong(format!(
                "has shape {}, but {} calls for {:?}",
                shape(&entry.shape),
                self.plan,
                spec.shape
            )));
        }
        Ok((entry, stored))
    }
}

/// Which block format a U8 tensor is of: its bytes per row tell. Or what is wrong with it.
fn blocks_of(entry: &Entry, spec: &TensorSpec) -> Result<StoredType, String> {
    let (rows, columns) = (spec.rows(), spec.columns());
    let bytes = |stored: StoredType| stored.row_bytes(columns).map(|bytes| [rows, bytes]);
    let (Some(q8_0), Some(q4_0)) = (bytes(StoredType::Q8_0), bytes(StoredType::Q4_0)) else {
        return Err(format!(
            "is stored as U8, but its rows of {columns} values are no whole number of blocks of {VALUES}"
        ));
    };
    if !spec.is_matrix() {
        return Err("is stored as U8, but only matrices are quantised: store it as F32 or F16".into());
    }
    match entry.shape.as_slice() {
        found if found == q8_0 => Ok(StoredType::Q8_0),
        found if found == q4_0 => Ok(StoredType::Q4_0),
        found => Err(format!(
            "has {} bytes, but for its shape {:?} q8_0 has {q8_0:?} and q4_0 {q4_0:?}",
            shape(found),
            spec.shape
        )),
    }
}

fn shape(shape: &[usize]) -> String {
    if shape.len() > 8 {
        format!("of {} dimensions", shape.len())
    } else {
        format!("{shape:?}")
    }
}
