//! Attention that also tells how much of itself went to each key of the first buffer. The weights of [`flash`] are relative
//! to a maximum that is not final, so the scores are computed once more when it is: nothing is kept of a long prompt.
//!
//! [`flash`]: super::flash

use super::few;
use super::flash::{Buffer, flash_telling};
use super::flash_loops::Scores;
use super::math::{View, exp, matmul};
use super::{Heads, WORTH_SHARING};
use rayon::prelude::*;

/// Keys at once.
const KEYS: usize = 256;
/// Query rows at once.
const ROWS: usize = 256;
/// No more query rows than this do without matrix products.
const FEW: usize = 8;

/// As [`super::flash`], and of every row of the first buffer that is seen the softmax weights that it was given, summed
/// over queries and heads.
pub(in super::super) fn flash_watched(q: &[f32], buffers: &[Buffer], heads: Heads) -> (Vec<f32>, Vec<f32>) {
    let n = q.len() / (heads.query * heads.dim);
    let mut softmax = vec![[0f32; 2]; n * heads.query];
    let out = flash_telling(q, buffers, heads, Some(&mut softmax));
    let Some(buffer) = buffers.first() else {
        return (out, Vec::new());
    };
    let rows = (0..n).map(|i| buffer.seen.rows(i)).max().unwrap_or(0);
    let mut shares = vec![0f32; rows];
    let tile = |(at, shares): (usize, &mut [f32])| {
        for head in 0..heads.key {
            add(q, buffer, heads, &softmax, head, at * KEYS, shares);
        }
    };
    if n * rows * heads.query / heads.key * heads.dim < WORTH_SHARING {
        shares.chunks_mut(KEYS).enumerate().for_each(tile);
    } else {
        shares.par_chunks_mut(KEYS).enumerate().for_each(tile);
    }
    (out, shares)
}

/// Adds to `shares` what the queries of key head `head` give to the keys from `first` on.
fn add(q: &[f32], buffer: &Buffer, heads: Heads, softmax: &[[f32; 2]], head: usize, first: usize, shares: &mut [f32]) {
    let (dim, groups, width) = (heads.dim, heads.query / heads.key, shares.len());
    let n = softmax.len() / heads.query;
    let at = (head * buffer.capacity + first) * dim;
    let mut wide_keys = Vec::new();
    let k = buffer.k.f32(at..at + width * dim, &mut wide_keys);
    let per_block = (ROWS / groups).max(1);
    let (mut queries, mut scores) = (Vec::new(), Vec::new());
    for start in (0..n).step_by(per_block) {
        let block = start..(start + per_block).min(n);
        queries.clear();
        for i in block.clone() {
            let at = (i * heads.query + head * groups) * dim;
            queries.extend_from_slice(&q[at..at + groups * dim]);
        }
        let rows = block.len() * groups;
        scores.resize(rows * width, 0.0);
        if rows <= FEW {
            few::scores(Scores {
                q: &queries,
                k,
                dim,
                scores: &mut scores,
                stride: width,
            });
        } else {
            let views = [View::rows(0, width), View::rows(0, dim), View::rows(0, dim).t()];
            matmul(
                [rows, width, dim],
                (&mut scores, views[0]),
                (&queries, views[1]),
                (k, views[2]),
                false,
            );
        }
        for (row, scores) in scores.chunks_exact(width).enumerate() {
            let i = start + row / groups;
            let [most, sum] = softmax[i * heads.query + head * groups + row % groups];
            let seen = buffer.seen.rows(i).saturating_sub(first).min(width);
            for (share, score) in shares.iter_mut().zip(&scores[..seen]) {
                *share += exp(score - most) / sum;
            }
        }
    }
}
