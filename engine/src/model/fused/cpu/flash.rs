//! Attention of new elements over KV buffers, in tiles of queries and keys with a running maximum and sum: the scores of
//! a whole prompt never exist at once, and tiles that nobody may see are never computed (Dao et al., FlashAttention).

use super::super::Prefix;
use super::few;
use super::flash_loops::{Scores, Softmax, Values};
use super::level::widen;
use super::math::{View, exp, matmul};
use super::wide::wide as widest_vectors;
use super::{Heads, WORTH_SHARING};
use half::f16;
use rayon::prelude::*;
use std::ops::Range;

/// Query rows at once: the queries of a tile, times the heads that share a key head.
const QUERY_ROWS: usize = 256;
/// Keys at once, for many query rows.
const KEYS: usize = 256;
/// No more query rows than this do without matrix products, whose packing would cost more than the product.
const FEW: usize = 8;
/// Keys of 16 bits that are made 32 at a time, for few query rows: they stay in the nearest cache.
const FEW_KEYS: usize = 32;
/// Keys that a core takes at once, for few query rows.
const SHARE: usize = 512;

/// One KV buffer: keys and values, `[kv_heads, capacity, dim]`, and which of its rows are seen.
#[derive(Clone, Copy)]
pub(in super::super) struct Buffer<'a> {
    pub k: Numbers<'a>,
    pub v: Numbers<'a>,
    pub capacity: usize,
    pub seen: Prefix,
}

/// Numbers as a buffer holds them.
#[derive(Clone, Copy)]
pub(in super::super) enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Numbers<'a> {
    /// The numbers of a range as f32; those of 16 bits are made so in `wide`.
    pub(super) fn f32(self, range: Range<usize>, wide: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::F32(numbers) => &numbers[range],
            Self::F16(numbers) => {
                wide.resize(range.len(), 0.0);
                widen(&numbers[range], wide);
                wide
            }
        }
    }
}

/// Keys `rows` of buffer `buffer`.
struct Tile {
    buffer: usize,
    rows: Range<usize>,
}

/// What one core does at a time: the queries of one key head over some tiles.
struct Item<'a> {
    head: usize,
    queries: Range<usize>,
    tiles: &'a [Tile],
}

impl Item<'_> {
    /// Which (query, head) of all stands in row `row`.
    fn at(&self, row: usize, heads: Heads) -> usize {
        let groups = heads.query / heads.key;
        (self.queries.start + row / groups) * heads.query + self.head * groups + row % groups
    }
}

/// A softmax under way, one for each query row: maximum and sum so far, values weighted relative to that maximum.
struct Partial {
    most: Vec<f32>,
    sum: Vec<f32>,
    /// `[rows, dim]`.
    out: Vec<f32>,
}

/// `q`, `[n, heads, dim]` (scaled), over `buffers`, to `[n, heads, dim]`. Every query must see something.
pub(in super::super) fn flash(q: &[f32], buffers: &[Buffer], heads: Heads) -> Vec<f32> {
    flash_telling(q, buffers, heads, None)
}

/// As [`flash`]; `softmax`, `[n, heads]`, is told the largest score and the sum of `e^(score - largest)` of each.
pub(super) fn flash_telling(
    q: &[f32],
    buffers: &[Buffer],
    heads: Heads,
    mut softmax: Option<&mut [[f32; 2]]>,
) -> Vec<f32> {
    let n = q.len() / (heads.query * heads.dim);
    let groups = heads.query / heads.key;
    let few = n * groups <= FEW;
    let per_tile = (QUERY_ROWS / groups).max(1);
    let blocks: Vec<Range<usize>> = (0..n)
        .step_by(per_tile)
        .map(|start| start..(start + per_tile).min(n))
        .collect();
    let tiles: Vec<Vec<Tile>> = blocks
        .iter()
        .map(|block| tiles(buffers, block, if few { SHARE } else { KEYS }))
        .collect();
    // Few rows: the keys are shared out. Always in the same way, so that the cores do not change the result.
    let share = if few { 1 } else { usize::MAX };
    let items: Vec<Item> = blocks
        .iter()
        .zip(&tiles)
        .flat_map(|(block, tiles)| (0..heads.key).map(move |head| (head, block, tiles)))
        .flat_map(|(head, block, tiles)| {
            tiles.chunks(share.min(tiles.len().max(1))).map(move |tiles| Item {
                head,
                queries: block.clone(),
                tiles,
            })
        })
        .collect();
    let work = |item: &Item| attend(q, buffers, heads, item);
    let keys: usize = items.iter().flat_map(|item| item.tiles).map(|t| t.rows.len()).sum();
    let partials: Vec<Partial> = if few && 2 * keys * heads.dim < WORTH_SHARING {
        items.iter().map(work).collect()
    } else {
        items.par_iter().with_max_len(1).map(work).collect()
    };
    let mut out = vec![0f32; q.len()];
    let mut done = items.iter().zip(partials).peekable();
    while let Some((item, mut partial)) = done.next() {
        while let Some((_, next)) =
            done.next_if(|(next, _)| next.head == item.head && next.queries.start == item.queries.start)
        {
            partial.merge(&next, heads.dim);
        }
        partial.finish(&mut out, heads, item);
        if let Some(softmax) = &mut softmax {
            for (row, found) in partial.most.iter().zip(&partial.sum).enumerate() {
                softmax[item.at(row, heads)] = [*found.0, *found.1];
            }
        }
    }
    out
}

/// The keys that some query of `queries` sees, at most `most` a tile.
fn tiles(buffers: &[Buffer], queries: &Range<usize>, most: usize) -> Vec<Tile> {
    let mut out = Vec::new();
    for (buffer, b) in buffers.iter().enumerate() {
        let end = queries.clone().map(|i| b.seen.rows(i)).max().unwrap_or(0);
        debug_assert!(end <= b.capacity, "{end} rows seen of {}", b.capacity);
        out.extend((0..end).step_by(most).map(|start| Tile {
            buffer,
            rows: start..(start + most).min(end),
        }));
    }
    out
}

fn attend(q: &[f32], buffers: &[Buffer], heads: Heads, item: &Item) -> Partial {
    let (dim, groups) = (heads.dim, heads.query / heads.key);
    let rows = item.queries.len() * groups;
    // Row `i · groups + g`: query `i` of head `g`.
    let mut queries = Vec::with_capacity(rows * dim);
    for i in item.queries.clone() {
        let at = (i * heads.query + item.head * groups) * dim;
        queries.extend_from_slice(&q[at..at + groups * dim]);
    }
    let mut partial = Partial {
        most: vec![f32::NEG_INFINITY; rows],
        sum: vec![0.0; rows],
        out: vec![0.0; rows * dim],
    };
    let widest = item.tiles.iter().map(|t| t.rows.len()).max().unwrap_or(0);
    let mut scores = vec![0f32; rows * widest];
    let mut wide = Vec::new();
    for tile in item.tiles {
        let b = &buffers[tile.buffer];
        let (width, at) = (tile.rows.len(), (item.head * b.capacity + tile.rows.start) * dim);
        let scores = &mut scores[..rows * width];
        let range = at..at + width * dim;
        let (row, keys) = (View::rows(0, dim), View::rows(0, width));
        if rows <= FEW {
            for start in (0..width).step_by(FEW_KEYS) {
                let range = at + start * dim..at + width.min(start + FEW_KEYS) * dim;
                let k = b.k.f32(range, &mut wide);
                few::scores(Scores {
                    q: &queries,
                    k,
                    dim,
                    scores: &mut scores[start..],
                    stride: width,
                });
            }
        } else {
            let k = b.k.f32(range.clone(), &mut wide);
            matmul(
                [rows, width, dim],
                (&mut *scores, keys),
                (&queries, row),
                (k, row.t()),
                false,
            );
        }
        let seen = |row: usize| {
            let rows = b.seen.rows(item.queries.start + row / groups);
            rows.saturating_sub(tile.rows.start).min(width)
        };
        widest_vectors(Softmax {
            scores: &mut *scores,
            width,
            seen,
            most: &mut partial.most,
            sum: &mut partial.sum,
            out: &mut partial.out,
            dim,
        });
        if rows <= FEW {
            for start in (0..width).step_by(FEW_KEYS) {
                let range = at + start * dim..at + width.min(start + FEW_KEYS) * dim;
                few::values(Values {
                    scores: &scores[start..],
                    stride: width,
                    v: b.v.f32(range, &mut wide),
                    dim,
                    out: &mut partial.out,
                });
            }
        } else {
            let v = b.v.f32(range, &mut wide);
            matmul(
                [rows, dim, width],
                (&mut partial.out, row),
                (scores, keys),
                (v, row),
                true,
            );
        }
    }
    partial
}

impl Partial {
    /// Takes in a softmax over other keys.
    fn merge(&mut self, other: &Self, dim: usize) {
        for row in 0..self.sum.len() {
            let most = self.most[row].max(other.most[row]);
            let (own, theirs) = (exp(self.most[row] - most), exp(other.most[row] - most));
            self.most[row] = most;
            self.sum[row] = self.sum[row] * own + other.sum[row] * theirs;
            let range = row * dim..(row + 1) * dim;
            for (x, y) in self.out[range.clone()].iter_mut().zip(&other.out[range]) {
                *x = *x * own + y * theirs;
            }
        }
    }

    /// Divides by the sums, into the rows of `out` that are the item's.
    fn finish(&self, out: &mut [f32], heads: Heads, item: &Item) {
        let dim = heads.dim;
        for (row, (values, sum)) in self.out.chunks_exact(dim).zip(&self.sum).enumerate() {
            let at = item.at(row, heads) * dim;
            let inverse = 1.0 / sum;
            for (x, value) in out[at..at + dim].iter_mut().zip(values) {
                *x = value * inverse;
            }
        }
    }
}
