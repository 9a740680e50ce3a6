//! How values lie in a file: types, their bytes, decoding.

use super::TensorSpec;
use super::blocks::{SUPER, VALUES, q4_0, q4_1, q4_k, q5_0, q6_k, q8_0};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::fmt;

/// Values that are looked at in one go.
const RUN: usize = 4096;

/// Storage type of a tensor: in safetensors told by dtype and shape, in GGUF by its number. All are little-endian. The
/// last four are read from GGUF files and never written.
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
    /// GGUF's q4_1: 20 bytes for 32 values: an f16 scale and an f16 minimum.
    Q4_1,
    /// GGUF's q5_0: 22 bytes for 32 values: an f16 scale and five bits a value.
    Q5_0,
    /// GGUF's q4_K: 144 bytes for 256 values: scales and minima of groups, which share scales of their own.
    Q4K,
    /// GGUF's q6_K: 210 bytes for 256 values: scales of groups, which share a scale, and six bits a value.
    Q6K,
}

impl StoredType {
    /// Values in a block and bytes of it; a plain number is a block of one.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q8_0 => (VALUES, q8_0::BYTES),
            Self::Q4_0 => (VALUES, q4_0::BYTES),
            Self::Q4_1 => (VALUES, q4_1::BYTES),
            Self::Q5_0 => (VALUES, q5_0::BYTES),
            Self::Q4K => (SUPER, q4_k::BYTES),
            Self::Q6K => (SUPER, q6_k::BYTES),
        }
    }

    /// Whether values share a scale.
    pub fn is_quantised(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::BF16)
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
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q4K => "q4_K",
            Self::Q6K => "q6_K",
        }
    }

    /// Appends the values of `bytes`, whole blocks, to `values`. Nothing need be aligned.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => widen::<f16>(bytes, values),
            Self::BF16 => widen::<bf16>(bytes, values),
            Self::Q8_0 => blocks(bytes, values, q8_0::dequantise),
            Self::Q4_0 => blocks(bytes, values, q4_0::dequantise),
            Self::Q4_1 => blocks(bytes, values, q4_1::dequantise),
            Self::Q5_0 => blocks(bytes, values, q5_0::dequantise),
            Self::Q4K => blocks(bytes, values, q4_k::dequantise),
            Self::Q6K => blocks(bytes, values, q6_k::dequantise),
        }
    }

    /// The first block whose number (of a quantised one: whose scale) is NaN or infinite, and that number.
    pub(crate) fn not_finite(self, bytes: &[u8]) -> Option<(usize, f32)> {
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
            Self::Q8_0 => scale::<{ q8_0::BYTES }>(bytes, 0),
            Self::Q4_0 => scale::<{ q4_0::BYTES }>(bytes, 0),
            Self::Q4_1 => scale::<{ q4_1::BYTES }>(bytes, 0).or_else(|| scale::<{ q4_1::BYTES }>(bytes, 2)),
            Self::Q5_0 => scale::<{ q5_0::BYTES }>(bytes, 0),
            Self::Q4K => scale::<{ q4_k::BYTES }>(bytes, 0).or_else(|| scale::<{ q4_k::BYTES }>(bytes, 2)),
            Self::Q6K => scale::<{ q6_k::BYTES }>(bytes, q6_k::SCALE),
        }
    }
}

/// Blocks of q5_0 as the blocks of q8_0 that have the same values.
#[cfg(any(feature = "gpu", feature = "burn"))]
pub(crate) fn q5_0_as_q8_0(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(q5_0::to_q8_0).collect()
}

/// The first block of `N` bytes whose f16 number at byte `at` is NaN or infinite, and that number.
fn scale<const N: usize>(bytes: &[u8], at: usize) -> Option<(usize, f32)> {
    let half = |b: &[u8; N]| u16::from_le_bytes([b[at], b[at + 1]]);
    first(bytes.as_chunks::<N>().0, |b| half(b) & 0x7c00 == 0x7c00)
        .map(|(block, b)| (block, f16::from_bits(half(b)).to_f32()))
}

/// Appends the values of blocks of `N` bytes.
fn blocks<const N: usize, const V: usize>(bytes: &[u8], values: &mut Vec<f32>, dequantise: fn(&[u8; N]) -> [f32; V]) {
    for block in bytes.as_chunks().0 {
        values.extend_from_slice(&dequantise(block));
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
