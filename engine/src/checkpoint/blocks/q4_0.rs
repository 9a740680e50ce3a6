//! q4_0: 18 bytes for 32 values. An f16 scale `d`, then 16 bytes: byte `j` holds value `j` in its low and value `j + 16`
//! in its high four bits; a value is `(n − 8)·d`.

use super::{VALUES, inverse, scale};
use half::f16;

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = 2 + HALF;

const HALF: usize = VALUES / 2;

/// Quantises a block: `d` is the value of the largest magnitude over −8, so that value is met exactly (but for `d`'s
/// rounding to f16) and one of the opposite sign may be off by `|d|`; others by `|d|/2`. The scale is infinite when the
/// values are too large for the format (above 8 · 65504).
pub(in crate::checkpoint) fn quantise(values: &[f32; VALUES]) -> [u8; BYTES] {
    // The first of several of the same magnitude.
    let largest = values
        .iter()
        .fold(0.0f32, |l, v| if v.abs() > l.abs() { *v } else { l });
    let d = largest / -8.0;
    let inverse = inverse(d);
    // Truncation after + 8.5 rounds halves up; only the far end of the other sign passes 15.
    let nibble = |v: f32| ((v * inverse + 8.5) as u8).min(15);
    let mut block = [0; BYTES];
    block[..2].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    let (low, high) = values.split_at(HALF);
    for (byte, (low, high)) in block[2..].iter_mut().zip(low.iter().zip(high)) {
        *byte = nibble(*low) | (nibble(*high) << 4);
    }
    block
}

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; VALUES] {
    let d = scale(block).to_f32();
    let value = |n: u8| (f32::from(n) - 8.0) * d;
    let mut values = [0.0; VALUES];
    let (low, high) = values.split_at_mut(HALF);
    for (byte, (low, high)) in block[2..].iter().zip(low.iter_mut().zip(high)) {
        (*low, *high) = (value(byte & 15), value(byte >> 4));
    }
    values
}
