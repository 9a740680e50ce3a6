//! GGUF's block formats: 32 values of a row (256 in the K formats) share f16 scales. Layout and rounding are those of
//! ggml's reference functions (`quantize_row_q8_0_ref`, `dequantize_row_q4_K`, … in ggml-quants.c), so the bytes are what
//! other programs read and write. q8_0 and q4_0 can be written, the others are only read.

pub(super) mod q4_0;
pub(super) mod q4_1;
pub(super) mod q4_k;
pub(super) mod q5_0;
pub(super) mod q6_k;
pub(super) mod q8_0;

use half::f16;

/// Values in a block.
pub(super) const VALUES: usize = 32;
/// Values in a block of the K formats.
pub(super) const SUPER: usize = 256;

/// The scale that starts a block of either format.
fn scale(block: &[u8]) -> f16 {
    match block {
        [low, high, ..] => f16::from_le_bytes([*low, *high]),
        _ => f16::ZERO,
    }
}

/// The f16 number at byte `at`.
fn half_at(block: &[u8], at: usize) -> f32 {
    scale(block.get(at..).unwrap_or_default()).to_f32()
}

/// 1 / `d` to quantise by; 0 when the block is zero, or so small that its f16 scale is.
fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests;
