//! q8_0: 34 bytes for 32 values. An f16 scale `d`, then 32 signed bytes `q`; a value is `q·d`.

use super::{VALUES, inverse, scale};
use half::f16;

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = 2 + VALUES;

/// Quantises a block. An error of at most `d/2` a value, and what rounding `d` to f16 adds. The scale is infinite when
/// the values are too large for the format (above 127 · 65504).
pub(in crate::checkpoint) fn quantise(values: &[f32; VALUES]) -> [u8; BYTES] {
    let largest = values.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (q, v) in block[2..].iter_mut().zip(values) {
        // Halves away from zero, as C's roundf; `as` saturates.
        *q = (v * inverse).round() as i8 as u8;
    }
    block
}

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; VALUES] {
    let d = scale(block).to_f32();
    let mut values = [0.0; VALUES];
    for (v, q) in values.iter_mut().zip(&block[2..]) {
        *v = f32::from(*q as i8) * d;
    }
    values
}
