//! Twin of `ask_rows.wgsl`: largest score and sum of weights of every (query, head) over its span.

use super::TwinError;
use super::buffers::Buffers;
use super::rms_norm::rows;
use crate::ask_rows::Params;

const Q: usize = 0;
const K: usize = 1;
const SPANS: usize = 2;
const SOFTMAX: usize = 3;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    if p.group == 0 || !p.heads.is_multiple_of(p.group) {
        return Err(b.unfit("group must divide heads"));
    }
    for row in 0..rows(b, grid, p.queries * p.heads)? {
        let span = b.slice(SPANS, 4 * (row / p.heads as usize), 4)?;
        let slots = (span[0]..span[1]).chain(span[2]..span[3]);
        let mut scores = Vec::new();
        for slot in slots.map(|slot| slot as usize).collect::<Vec<_>>() {
            scores.push(score(b, [Q, K], [p.heads, p.group, p.head_dim4], p.scale, row, slot)?);
        }
        let largest = scores.iter().copied().fold(-1e30, f32::max);
        let sum = scores.iter().map(|score| (score - largest).exp()).sum();
        b.set_floats(SOFTMAX, 2 * row, &[largest, sum])?;
    }
    Ok(())
}

/// The score of row `row` of q, `[queries, heads, 4 · head_dim4]`, on slot `slot` of k, `[slots, heads / group, …]`.
pub(super) fn score(
    b: &Buffers<'_, '_>,
    [q, k]: [usize; 2],
    [heads, group, head_dim4]: [u32; 3],
    scale: f32,
    row: usize,
    slot: usize,
) -> Result<f32, TwinError> {
    let (heads, group, dim) = (heads as usize, group as usize, 4 * head_dim4 as usize);
    let q = b.floats(q, row * dim, dim)?;
    let k = b.floats(k, (slot * (heads / group) + row % heads / group) * dim, dim)?;
    Ok(scale * q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>())
}
