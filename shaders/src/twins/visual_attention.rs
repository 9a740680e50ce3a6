//! Twin of `visual_attention.wgsl`: grouped-query attention over the slots of each query's span, in splits.

use std::ops::Range;

use super::TwinError;
use super::buffers::Buffers;
use crate::Style;
use crate::visual_attention::Params;

const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const SPANS: usize = 3;
const Y: usize = 4;
const STATS: usize = 5;

/// The largest score of a split that saw nothing.
const NEVER: f32 = -1e30;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let (queries, heads, group) = (p.queries as usize, p.heads as usize, p.group as usize);
    if group == 0 || p.splits == 0 || !heads.is_multiple_of(group) {
        return Err(b.unfit("group must divide heads, and splits be at least 1"));
    }
    if p.head_dim4 > b.kernel.constant("MAX_HEAD_DIM4") {
        return Err(b.unfit("a head of more than MAX_HEAD_DIM4 groups of four"));
    }
    // Tiles of (query, head of the group), by key head and split.
    let tile = b.kernel.constant("ROWS") as usize;
    let (rows, kv_heads, splits) = (queries * group, heads / group, p.splits as usize);
    let serial = Style::of(b.kernel) == Some(Style::Serial);
    for (at, first) in (0..rows).step_by(tile).enumerate() {
        let last = (first + tile).min(rows);
        let mut all = Span::read(b, first / group)?;
        for query in first / group..last.div_ceil(group) {
            all = all.or(&Span::read(b, query)?);
        }
        for kv_head in 0..kv_heads {
            for split in 0..splits {
                let runs = if serial {
                    // Invocations count splits, then key heads, then tiles.
                    (at * kv_heads + kv_head) * splits + split < b.invocations(grid, 0)
                } else {
                    at < grid[0] && kv_head < grid[1] && split < grid[2]
                };
                for row in (first..last).filter(|_| runs) {
                    attend(b, &p, row / group, kv_head * group + row % group, split, &all)?;
                }
            }
        }
    }
    Ok(())
}

/// Two ranges of slots.
struct Span([Range<usize>; 2]);

impl Span {
    fn read(b: &Buffers<'_, '_>, query: usize) -> Result<Self, TwinError> {
        let words = b.slice(SPANS, 4 * query, 4)?;
        let at = |i: usize| words[i] as usize;
        let ranges = [at(0)..at(1), at(2)..at(3)];
        let [a, c] = &ranges;
        let apart = a.is_empty() || c.is_empty() || a.end <= c.start || c.end <= a.start;
        if a.end < a.start || c.end < c.start || !apart {
            return Err(b.unfit("a span must be two ranges that do not overlap"));
        }
        Ok(Self(ranges))
    }

    /// Range by range the smallest that holds both. An empty range stands nowhere.
    fn or(&self, other: &Self) -> Self {
        let hull = |i: usize| match (&self.0[i], &other.0[i]) {
            (a, b) if b.is_empty() => a.clone(),
            (a, b) if a.is_empty() => b.clone(),
            (a, b) => a.start.min(b.start)..a.end.max(b.end),
        };
        Self([hull(0), hull(1)])
    }

    /// The slots of both ranges, with the number of the range.
    fn slots(&self) -> impl Iterator<Item = (usize, usize)> {
        let of = |i: usize| self.0[i].clone().map(move |slot| (i, slot));
        of(0).chain(of(1))
    }
}

/// One (query, head) over one split of the slots of `divided`: those that the query sees.
fn attend(
    b: &mut Buffers<'_, '_>,
    p: &Params,
    query: usize,
    head: usize,
    split: usize,
    divided: &Span,
) -> Result<(), TwinError> {
    let (dim, splits) = (4 * p.head_dim4 as usize, p.splits as usize);
    let kv_head = head / p.group as usize;
    let total = divided.slots().count();
    let length = total.div_ceil(splits);
    let own = Span::read(b, query)?;
    let slots: Vec<usize> = divided
        .slots()
        .skip(split * length)
        .take(length)
        .filter(|(range, slot)| own.0[*range].contains(slot))
        .map(|(_, slot)| slot)
        .collect();

    let kv = |slot: usize, offset4: u32| 4 * (slot * p.kv_stride4 as usize + offset4 as usize) + kv_head * dim;
    let q_at = 4 * (query * p.q_stride4 as usize + p.q_offset4 as usize) + head * dim;
    let q = b.floats(Q, q_at, dim)?;
    let mut scores = Vec::with_capacity(slots.len());
    for slot in &slots {
        let k = b.floats(K, kv(*slot, p.k_offset4), dim)?;
        scores.push(p.scale * q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>());
    }
    let largest = scores.iter().copied().fold(NEVER, f32::max);
    let mut sum = 0.0;
    let mut values = vec![0.0; dim];
    for (slot, score) in slots.iter().zip(scores) {
        let weight = (score - largest).exp();
        sum += weight;
        for (value, v) in values.iter_mut().zip(b.floats(V, kv(*slot, p.v_offset4), dim)?) {
            *value += weight * v;
        }
    }
    let part = (query * p.heads as usize + head) * splits + split;
    if splits == 1 {
        values.iter_mut().for_each(|value| *value /= sum);
    } else {
        b.set_floats(STATS, 2 * part, &[largest, sum])?;
    }
    b.set_floats(Y, part * dim, &values)
}
