//! Twin of `attention_merge.wgsl`: the splits of `visual_attention` put together.

use super::TwinError;
use super::buffers::Buffers;
use crate::attention_merge::Params;

const PARTS: usize = 0;
const STATS: usize = 1;
const Y: usize = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let (splits, dim) = (p.splits as usize, 4 * p.head_dim4 as usize);
    let values = (p.rows as usize * dim).min(4 * b.invocations(grid, 0));
    for at in 0..values {
        let (row, d) = (at / dim, at % dim);
        let stats = b.floats(STATS, row * splits * 2, splits * 2)?;
        let seen = || (0..splits).filter(|s| stats[2 * s + 1] > 0.0);
        let largest = seen().map(|s| stats[2 * s]).fold(f32::NEG_INFINITY, f32::max);
        let (mut value, mut sum) = (0.0, 0.0);
        for split in seen() {
            let share = (stats[2 * split] - largest).exp();
            value += share * b.float(PARTS, (row * splits + split) * dim + d)?;
            sum += share * stats[2 * split + 1];
        }
        b.set_float(Y, at, value / sum)?;
    }
    Ok(())
}
