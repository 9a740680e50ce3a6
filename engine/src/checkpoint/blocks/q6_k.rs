//! q6_K: 210 bytes for 256 values in sixteen groups of 16. 128 bytes with the low four bits of each value, 64 with the
//! high two, 16 signed scales `s`, an f16 scale `d` of scales; a value is `d·s·(n − 32)`.

use super::{SUPER, half_at};

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = SUPER / 2 + SUPER / 4 + SUPER / 16 + 2;

/// Where the scale of scales stands.
pub(in crate::checkpoint) const SCALE: usize = BYTES - 2;

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; SUPER] {
    let d = half_at(block, SCALE);
    let (low, rest) = block.split_at(SUPER / 2);
    let (high, scales) = rest.split_at(SUPER / 4);
    let mut values = [0.0; SUPER];
    // Two halves of 128 values: value 32·k + l of a half has its low bits in byte (32·k mod 64) + l, in the low four bits
    // for k < 2, and its high bits in bits 2·k of byte l.
    for (half, values) in values.chunks_exact_mut(SUPER / 2).enumerate() {
        let (low, high) = (&low[64 * half..], &high[32 * half..]);
        for (i, value) in values.iter_mut().enumerate() {
            let (k, l) = (i / 32, i % 32);
            let nibble = (low[32 * (k % 2) + l] >> (4 * (k / 2))) & 15;
            let n = nibble | (((high[l] >> (2 * k)) & 3) << 4);
            let s = scales[8 * half + i / 16] as i8;
            *value = d * f32::from(s) * (f32::from(n) - 32.0);
        }
    }
    values
}
