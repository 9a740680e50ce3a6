//! q4_1: 20 bytes for 32 values. An f16 scale `d` and an f16 minimum `m`, then 16 bytes: byte `j` holds value `j` in its
//! low and value `j + 16` in its high four bits; a value is `n·d + m`.

use super::{VALUES, half_at};

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = 4 + VALUES / 2;

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; VALUES] {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let value = |n: u8| f32::from(n) * d + m;
    let mut values = [0.0; VALUES];
    let (low, high) = values.split_at_mut(VALUES / 2);
    for (byte, (low, high)) in block[4..].iter().zip(low.iter_mut().zip(high)) {
        (*low, *high) = (value(byte & 15), value(byte >> 4));
    }
    values
}
