//! Attention of every page's patches to each other (the vision encoder's), one head at a time, without copies.

use super::super::PageLengths;
use super::attention::softmax;
use super::math::{View, matmul};

/// Rows of page `p`, and where each page's softmax weights begin.
struct Page {
    row: usize,
    len: usize,
}

fn pages(lengths: &PageLengths) -> impl Iterator<Item = Page> + '_ {
    lengths.lengths.iter().enumerate().map(|(p, &len)| Page {
        row: p * lengths.slots,
        len,
    })
}

/// Outputs, `[pages × slots, heads × dim]` (0 for the padding), and the softmax weights, page by page, head by head.
pub(in super::super) fn page_attention(
    [q, k, v]: [&[f32]; 3],
    [heads, dim]: [usize; 2],
    lengths: &PageLengths,
) -> (Vec<f32>, Vec<f32>) {
    let (d, scale) = (heads * dim, (dim as f32).powf(-0.5));
    let total: usize = lengths.lengths.iter().map(|n| n * n * heads).sum();
    let (mut out, mut weights) = (vec![0f32; q.len()], vec![0f32; total]);
    let mut rest = weights.as_mut_slice();
    for page in pages(lengths) {
        let n = page.len;
        for head in 0..heads {
            let (w, after) = rest.split_at_mut(n * n);
            rest = after;
            let (rows, square) = (View::rows(page.row * d + head * dim, d), View::rows(0, n));
            matmul([n, n, dim], (&mut *w, square), (q, rows), (k, rows.t()), false);
            for row in w.chunks_exact_mut(n) {
                for x in row.iter_mut() {
                    *x *= scale;
                }
                softmax(row);
            }
            matmul([n, dim, n], (&mut out, rows), (w, square), (v, rows), false);
        }
    }
    (out, weights)
}

/// Gradients of [`page_attention`] for `q`, `k` and `v`.
#[cfg(feature = "train")]
pub(in super::super) fn page_attention_backward(
    [q, k, v]: [&[f32]; 3],
    weights: &[f32],
    dy: &[f32],
    [heads, dim]: [usize; 2],
    lengths: &PageLengths,
) -> [Vec<f32>; 3] {
    let (d, scale) = (heads * dim, (dim as f32).powf(-0.5));
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| vec![0f32; x.len()]);
    let mut scratch = vec![0f32; lengths.slots * lengths.slots];
    let mut rest = weights;
    for page in pages(lengths) {
        let n = page.len;
        for head in 0..heads {
            let (w, after) = rest.split_at(n * n);
            rest = after;
            let (rows, square) = (View::rows(page.row * d + head * dim, d), View::rows(0, n));
            matmul([n, dim, n], (&mut dv, rows), (w, square.t()), (dy, rows), false);
            let ds = &mut scratch[..n * n];
            matmul([n, n, dim], (&mut *ds, square), (dy, rows), (v, rows.t()), false);
            super::attention::softmax_backward(ds, w, n, scale);
            matmul([n, dim, n], (&mut dq, rows), (ds, square), (k, rows), false);
            matmul([n, dim, n], (&mut dk, rows), (ds, square.t()), (q, rows), false);
        }
    }
    [dq, dk, dv]
}
