//! q4_K: 144 bytes for 256 values in eight groups of 32. An f16 scale `d` of scales and an f16 scale `e` of minima, then
//! 12 bytes with a 6-bit scale `s` and minimum `m` for each group, then 128 bytes: 32 for two groups, the first in the low
//! four bits. A value is `n·(d·s) − e·m`.

use super::{SUPER, half_at};

/// Bytes of a block.
pub(in crate::checkpoint) const BYTES: usize = 4 + 12 + SUPER / 2;

/// Values in a group.
const GROUP: usize = 32;

/// The values of a block.
pub(in crate::checkpoint) fn dequantise(block: &[u8; BYTES]) -> [f32; SUPER] {
    let (d, e) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    let mut values = [0.0; SUPER];
    for (pair, (values, bytes)) in values
        .chunks_exact_mut(2 * GROUP)
        .zip(block[16..].chunks_exact(GROUP))
        .enumerate()
    {
        for (half, values) in values.chunks_exact_mut(GROUP).enumerate() {
            let (s, m) = scale_and_minimum(packed, 2 * pair + half);
            let (s, m) = (d * f32::from(s), e * f32::from(m));
            for (value, byte) in values.iter_mut().zip(bytes) {
                *value = s * f32::from((byte >> (4 * half)) & 15) - m;
            }
        }
    }
    values
}

/// The 6-bit numbers of group `j`: whole bytes for the first four, put together from four bits and two spare ones for
/// the others (`get_scale_min_k4`).
fn scale_and_minimum(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let both = packed[j + 4];
        (
            (both & 15) | ((packed[j - 4] >> 6) << 4),
            (both >> 4) | ((packed[j] >> 6) << 4),
        )
    }
}
