//! q5_0: 22 bytes for 32 values. An f16 scale `d`, then 4 bytes with the fifth bit of each value, then 16 bytes as in
//! q4_0; a value is `(n − 16)·d`.

#[cfg(any(feature = "gpu", feature = "burn", test))]
use super::q8_0;
use super::{VALUES, half_at};

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = 2 + 4 + HALF;

const HALF: usize = VALUES / 2;

/// The values of a block in units of its scale.
fn steps(block: &[u8; BYTES]) -> [i8; VALUES] {
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let step = |n: u8, i: usize| (n | (((fifth >> i) & 1) << 4) as u8) as i8 - 16;
    let mut steps = [0; VALUES];
    for (j, byte) in block[6..].iter().enumerate() {
        steps[j] = step(byte & 15, j);
        steps[j + HALF] = step(byte >> 4, j + HALF);
    }
    steps
}

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; VALUES] {
    let d = half_at(block, 0);
    steps(block).map(|step| f32::from(step) * d)
}

/// The block of q8_0 that has the same values: the same scale, and every step fits a byte.
#[cfg(any(feature = "gpu", feature = "burn", test))]
pub(in crate::checkpoint) fn to_q8_0(block: &[u8; BYTES]) -> [u8; q8_0::BYTES] {
    let mut wide = [0; q8_0::BYTES];
    wide[..2].copy_from_slice(&block[..2]);
    for (byte, step) in wide[2..].iter_mut().zip(steps(block)) {
        *byte = step as u8;
    }
    wide
}
