//! GGUF's block formats: 32 values of a row share one f16 scale. Layout and rounding are those of ggml's reference
//! functions (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref` in ggml-quants.c), so the bytes are what other programs read.

pub(super) mod q4_0;
pub(super) mod q8_0;

use half::f16;

/// Values in a block.
pub(super) const VALUES: usize = 32;

/// The scale that starts a block of either format.
fn scale(block: &[u8]) -> f16 {
    match block {
        [low, high, ..] => f16::from_le_bytes([*low, *high]),
        _ => f16::ZERO,
    }
}

/// 1 / `d` to quantise by; 0 when the block is zero, or so small that its f16 scale is.
fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests;
