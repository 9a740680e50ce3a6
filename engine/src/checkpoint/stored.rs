//! How values lie in a file: types, their bytes, decoding.

use super::TensorSpec;
use super::blocks::{VALUES, q4_0, q8_0};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::fmt;

/// Values that are looked at in one go.
const RUN: usize = 4096;

/// Storage type of a tensor, told by its dtype and shape in the file. All are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// bfloat16.
    BF16,
    /// GGUF's q8_0: blocks of 34 bytes for 32 values of a row: an f16 scale `d`, then 32 signed bytes `q`; a value is `q·d`.
    Q8_0,
    /// GGUF's q4_0: blocks of 18 bytes for 32 values of a row: an f16 scale `d`, then 16 bytes; byte `j` holds value `j`
    /// in its low and value `j + 16` in its high four bits; a value is `(n − 8)·d`.
    Q4_0,
}

impl StoredType {
    /// Values in a block and bytes of it; a plain number is a block of one.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q8_0 => (VALUES, q8_0::BYTES),
            Self::Q4_0 => (VALUES, q4_0::BYTES),
        }
    }

    /// Whether values share a scale.
    pub fn is_quantised(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0)
    }

    /// Bytes of a row of `columns` values; `None` when that is no whole number of blocks.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        let (values, bytes) = self.block();
        if columns.is_multiple_of(values) {
            (columns / values).checked_mul(bytes)
        } else {
            None
        }
    }

    /// How `spec` is stored in a folder of this type. In a quantised one, matrices whose rows are whole blocks are
    /// quantised; other matrices stay f16, and vectors and the position embedding f32.
    pub fn of(self, spec: &TensorSpec) -> Self {
        match (self.is_quantised(), spec.is_matrix()) {
            (false, _) => self,
            (true, true) if self.row_bytes(spec.columns()).is_some() => self,
            (true, true) => Self::F16,
            (true, false) => Self::F32,
        }
    }

    /// The name in `config.json`, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Appends the values of `bytes`, whole blocks, to `values`. Nothing need be aligned.
    pub(super) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => widen::<f16>(bytes, values),
            Self::BF16 => widen::<bf16>(bytes, values),
            Self::Q8_0 => {
                for block in bytes.as_chunks().0 {
                    values.extend_from_slice(&q8_0::dequantise(block));
                }
            }
            Self::Q4_0 => {
                for block in bytes.as_chunks().0 {
                    values.extend_from_slice(&q4_0::dequantise(block));
                }
            }
        }
    }

    /// The first block whose number (of a quantised one: whose scale) is NaN or infinite, and that number.
    pub(super) fn not_finite(self, bytes: &[u8]) -> Option<(usize, f32)> {
        let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
        match self {
            Self::F32 => first(bytes.as_chunks::<4>().0, |b| {
                u32::from_le_bytes(*b) & 0x7f80_0000 == 0x7f80_0000
            })
            .map(|(at, b)| (at, f32::from_le_bytes(*b))),
            Self::F16 => first(bytes.as_chunks::<2>().0, |b| half(b) & 0x7c00 == 0x7c00)
                .map(|(at, b)| (at, f16::from_le_bytes(*b).to_f32())),
            Self::BF16 => first(bytes.as_chunks::<2>().0, |b| half(b) & 0x7f80 == 0x7f80)
                .map(|(at, b)| (at, bf16::from_le_bytes(*b).to_f32())),
            Self::Q8_0 => first(bytes.as_chunks::<{ q8_0::BYTES }>().0, |b| half(b) & 0x7c00 == 0x7c00)
                .map(|(at, b)| (at, f16::from_bits(half(b)).to_f32())),
            Self::Q4_0 => first(bytes.as_chunks::<{ q4_0::BYTES }>().0, |b| half(b) & 0x7c00 == 0x7c00)
                .map(|(at, b)| (at, f16::from_bits(half(b)).to_f32())),
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends the 16-bit floats of `bytes` as f32: many at a time, with the processor's own instruction.
fn widen<H: Pod>(bytes: &[u8], values: &mut Vec<f32>)
where
    [H]: HalfFloatSliceExt,
{
    let start = values.len();
    values.resize(start + bytes.len() / 2, 0.0);
    for (bytes, wide) in bytes.chunks(2 * RUN).zip(values[start..].chunks_mut(RUN)) {
        // Copied out before it is cast, as nothing need be aligned.
        bytemuck::pod_collect_to_vec::<u8, H>(bytes).convert_to_f32_slice(wide);
    }
}

/// The first item that is `bad`. Many at a time: a plain "any" over them vectorises, a search with an early exit does not.
pub(super) fn first<T>(items: &[T], bad: impl Fn(&T) -> bool) -> Option<(usize, &T)> {
    let run = items
        .chunks(RUN)
        .position(|run| run.iter().fold(false, |any, item| any | bad(item)))?;
    let start = run * RUN;
    let at = start + items[start..].iter().position(bad)?;
    Some((at, &items[at]))
}
