//! Attention over a packed batch, one head at a time, without a copy of queries, keys or values: heads are strides.

use super::super::AttentionPlan;
#[cfg(feature = "train")]
use super::flash_loops::dot;
use super::flash_loops::{exponentials, maximum};
use super::math::{View, matmul};
use super::wide::wide_fn;
use std::ops::Range;

/// Head counts and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Heads {
    pub query: usize,
    pub key: usize,
    pub dim: usize,
}

/// A block of queries that see the same memory: a stretch of a document's memory itself, or one chunk of open text.
struct Block {
    /// First row of the queries (and of the keys of their own block).
    row: usize,
    /// Queries, and keys of their own block; query `i` sees own keys up to `i`.
    len: usize,
    /// First row of the memory that they see besides.
    memory_row: usize,
    /// How many rows of it.
    seen: usize,
    /// First row of the open text that they see besides (`visual_sees_text`).
    text_row: usize,
    /// How many rows of it: as many as the query that sees most does.
    text: usize,
    /// How many of those every query sees; all where it is empty.
    text_seen: Vec<usize>,
}

impl Block {
    /// Keys that a query may see: weights are stored in rows of this length, text first, then memory, then the block's own.
    fn width(&self) -> usize {
        self.text + self.seen + self.len
    }
}

/// Most memory slots in a block: of a longer one, half of the pairs would be computed only to be hidden.
const STRETCH: usize = 256;

fn blocks(plan: &AttentionPlan) -> Vec<Block> {
    let size = plan.memory + plan.chunks * plan.chunk_len;
    let mut blocks = Vec::new();
    for d in 0..plan.documents {
        let start = d * size;
        let mut m = 0;
        while m < plan.memory {
            let lower = plan.lower(d, m);
            let most = plan.memory.min(m + STRETCH);
            let text = plan.text(d, m);
            // Of the same text some may see more than others.
            let apart = |t: Range<usize>| t.start != text.start || t.is_empty() != text.is_empty();
            let other = |&i: &usize| plan.lower(d, i) != lower || apart(plan.text(d, i));
            let end = (m..most).find(other).unwrap_or(most);
            let mut text_seen: Vec<usize> = (m..end).map(|i| plan.text(d, i).len()).collect();
            let all = text_seen.iter().copied().max().unwrap_or(0);
            if text_seen.iter().all(|&n| n == all) {
                text_seen.clear();
            }
            blocks.push(Block {
                row: start + m,
                len: end - m,
                memory_row: start + lower,
                seen: m - lower,
                text_row: start + plan.memory + text.start,
                text: all,
                text_seen,
            });
            m = end;
        }
        blocks.extend((0..plan.chunks).map(|c| {
            let seen = plan.seen(d, c);
            Block {
                row: start + plan.memory + c * plan.chunk_len,
                len: plan.chunk_len,
                memory_row: start + seen.start,
                seen: seen.len(),
                text_row: start,
                text: 0,
                text_seen: Vec::new(),
            }
        }));
    }
    blocks
}

/// Products as [`matmul`] does them.
type Matmul = fn([usize; 3], (&mut [f32], View), (&[f32], View), (&[f32], View), bool);

/// In f32 or (`rounded`; only the trainer asks for it) of numbers rounded to bfloat16 where that is quicker.
fn products(rounded: bool) -> Matmul {
    #[cfg(feature = "train")]
    if rounded {
        return super::rounded::matmul_by_amx;
    }
    debug_assert!(!rounded, "only the trainer rounds");
    matmul
}

/// Outputs, and the softmax weights of every block and head one after another (`len × (text + seen + len)` each).
pub(in super::super) fn attention(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: Heads,
    plan: &AttentionPlan,
    rounded: bool,
) -> (Vec<f32>, Vec<f32>) {
    let matmul = products(rounded);
    let (q_row, k_row, dim) = (heads.query * heads.dim, heads.key * heads.dim, heads.dim);
    let blocks = blocks(plan);
    let total: usize = blocks.iter().map(|b| b.len * b.width()).sum::<usize>() * heads.query;
    let (mut out, mut weights) = (vec![0f32; q.len()], vec![0f32; total]);
    let mut at = 0;
    for b in &blocks {
        for head in 0..heads.query {
            let shared = head / (heads.query / heads.key) * dim;
            let width = b.width();
            let (scores, end) = (at, at + b.len * width);
            let qs = View::rows(b.row * q_row + head * dim, q_row);
            let memory = View::rows(b.memory_row * k_row + shared, k_row);
            let own = View::rows(b.row * k_row + shared, k_row);
            let text = View::rows(b.text_row * k_row + shared, k_row);
            let to_text = View::rows(scores, width);
            let to_memory = View::rows(scores + b.text, width);
            let to_own = View::rows(scores + b.text + b.seen, width);
            let w = &mut weights[..end];
            if b.text > 0 {
                matmul([b.len, b.text, dim], (&mut *w, to_text), (q, qs), (k, text.t()), false);
            }
            matmul(
                [b.len, b.seen, dim],
                (&mut *w, to_memory),
                (q, qs),
                (k, memory.t()),
                false,
            );
            matmul([b.len, b.len, dim], (&mut *w, to_own), (q, qs), (k, own.t()), false);
            for (i, row) in w[scores..].chunks_exact_mut(width).enumerate() {
                let (seen, hidden) = row.split_at_mut(b.text + b.seen + i + 1);
                if let Some(&n) = b.text_seen.get(i) {
                    seen[n..b.text].fill(f32::NEG_INFINITY);
                }
                softmax(seen);
                hidden.fill(0.0);
            }
            let w = &weights[..end];
            let dst = View::rows(b.row * q_row + head * dim, q_row);
            matmul([b.len, dim, b.len], (&mut out, dst), (w, to_own), (v, own), false);
            matmul([b.len, dim, b.seen], (&mut out, dst), (w, to_memory), (v, memory), true);
            if b.text > 0 {
                matmul([b.len, dim, b.text], (&mut out, dst), (w, to_text), (v, text), true);
            }
            at = end;
        }
    }
    (out, weights)
}

wide_fn! {
    pub(super) fn softmax(row: &mut [f32]) {
        let most = maximum(row);
        let inverse = 1.0 / exponentials(row, most);
        for x in row {
            *x *= inverse;
        }
    }
}

#[cfg(feature = "train")]
wide_fn! {
    /// Gradients for softmax weights `w`, `[_, width]`, become those for the scores: `W ∘ (dW − Σ W ∘ dW)`, times `scale`.
    pub(super) fn softmax_backward(dw: &mut [f32], w: &[f32], width: usize, scale: f32) {
        for (dw, w) in dw.chunks_exact_mut(width).zip(w.chunks_exact(width)) {
            let sum = dot(dw, w);
            for (d, w) in dw.iter_mut().zip(w) {
                *d = w * (*d - sum) * scale;
            }
        }
    }
}

/// Gradients of [`attention`] for `q`, `k` and `v`.
#[cfg(feature = "train")]
pub(in super::super) fn attention_backward(
    [q, k, v]: [&[f32]; 3],
    weights: &[f32],
    d_out: &[f32],
    heads: Heads,
    plan: &AttentionPlan,
    rounded: bool,
) -> [Vec<f32>; 3] {
    let matmul = products(rounded);
    let (q_row, k_row, dim) = (heads.query * heads.dim, heads.key * heads.dim, heads.dim);
    let (mut dq, mut dk, mut dv) = (vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; v.len()]);
    let blocks = blocks(plan);
    let widest = blocks.iter().map(|b| b.len * b.width()).max().unwrap_or(0);
    let mut scratch = vec![0f32; widest];
    let mut at = 0;
    for b in &blocks {
        for head in 0..heads.query {
            let shared = head / (heads.query / heads.key) * dim;
            let width = b.width();
            let w = &weights[at..at + b.len * width];
            at += b.len * width;
            let qs = View::rows(b.row * q_row + head * dim, q_row);
            let memory = View::rows(b.memory_row * k_row + shared, k_row);
            let own = View::rows(b.row * k_row + shared, k_row);
            let text = View::rows(b.text_row * k_row + shared, k_row);
            let (to_text, to_memory) = (View::rows(0, width), View::rows(b.text, width));
            let to_own = View::rows(b.text + b.seen, width);
            // dV += Wᵀ dO
            matmul(
                [b.seen, dim, b.len],
                (&mut dv, memory),
                (w, to_memory.t()),
                (d_out, qs),
                true,
            );
            matmul([b.len, dim, b.len], (&mut dv, own), (w, to_own.t()), (d_out, qs), true);
            // dW = dO Vᵀ, then through the softmax: dS = W ∘ (dW − Σ W ∘ dW)
            let ds = &mut scratch[..b.len * width];
            matmul(
                [b.len, b.seen, dim],
                (&mut *ds, to_memory),
                (d_out, qs),
                (v, memory.t()),
                false,
            );
            matmul(
                [b.len, b.len, dim],
                (&mut *ds, to_own),
                (d_out, qs),
                (v, own.t()),
                false,
            );
            if b.text > 0 {
                matmul(
                    [b.text, dim, b.len],
                    (&mut dv, text),
                    (w, to_text.t()),
                    (d_out, qs),
                    true,
                );
                matmul(
                    [b.len, b.text, dim],
                    (&mut *ds, to_text),
                    (d_out, qs),
                    (v, text.t()),
                    false,
                );
            }
            softmax_backward(ds, w, width, 1.0);
            let ds = &*ds;
            matmul([b.len, dim, b.len], (&mut dq, qs), (ds, to_own), (k, own), false);
            matmul([b.len, dim, b.seen], (&mut dq, qs), (ds, to_memory), (k, memory), true);
            matmul(
                [b.seen, dim, b.len],
                (&mut dk, memory),
                (ds, to_memory.t()),
                (q, qs),
                true,
            );
            matmul([b.len, dim, b.len], (&mut dk, own), (ds, to_own.t()), (q, qs), true);
            if b.text > 0 {
                matmul([b.len, dim, b.text], (&mut dq, qs), (ds, to_text), (k, text), true);
                matmul([b.text, dim, b.len], (&mut dk, text), (ds, to_text.t()), (q, qs), true);
            }
        }
    }
    [dq, dk, dv]
}
