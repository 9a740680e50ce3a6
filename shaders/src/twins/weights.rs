//! Matrices as `shared/weights.wgsl` reads them. The layouts are in the [crate documentation](crate).

use half::{bf16, f16};

use super::TwinError;
use super::buffers::Buffers;
use crate::Weight;

/// Value number `index` of a matrix that lies in `words`, its scales (quantised) from word `scales` on; none outside.
pub fn value(weight: Weight, words: &[u32], scales: usize, index: usize) -> Option<f32> {
    Some(match weight {
        Weight::F32 => f32::from_bits(*words.get(index)?),
        Weight::F16 => f16::from_bits(bits_at(words, index)?).to_f32(),
        Weight::Bf16 => bf16::from_bits(bits_at(words, index)?).to_f32(),
        Weight::Q8_0 => {
            let byte = (*words.get(index / 4)?).to_le_bytes()[index % 4];
            f32::from(byte as i8) * scale_at(words, scales, index)?
        }
        Weight::Q4_0 => {
            let bits = (*words.get(index / 8)? >> (4 * (index % 8))) & 15;
            (bits as f32 - 8.0) * scale_at(words, scales, index)?
        }
    })
}

/// The scale of the block that value number `index` is in.
fn scale_at(words: &[u32], scales: usize, index: usize) -> Option<f32> {
    Some(f16::from_bits(bits_at(words.get(scales..)?, index / 32)?).to_f32())
}

/// Half number `index` of packed pairs.
fn bits_at(words: &[u32], index: usize) -> Option<u16> {
    let word = *words.get(index / 2)?;
    let bits = if index.is_multiple_of(2) {
        word & 0xffff
    } else {
        word >> 16
    };
    Some(bits as u16)
}

/// Row `row` (of `length` values) of the matrix in binding `binding`.
pub(super) fn row(
    buffers: &Buffers<'_, '_>,
    binding: usize,
    scales: u32,
    row: usize,
    length: usize,
) -> Result<Vec<f32>, TwinError> {
    let weight = Weight::of(buffers.kernel).ok_or_else(|| buffers.unfit("a matrix needs the axis WEIGHT"))?;
    let words = buffers.words(binding);
    (row * length..(row + 1) * length)
        .map(|index| {
            value(weight, words, scales as usize, index).ok_or_else(|| TwinError::Outside {
                kernel: buffers.kernel.label,
                binding: buffers.kernel.bindings[binding].name,
                word: index,
                words: words.len(),
            })
        })
        .collect()
}
