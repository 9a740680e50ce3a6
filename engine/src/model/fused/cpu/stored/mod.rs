//! Products with weights as they are stored: in 16 bits, or in blocks that share a scale. A token reads so many bytes fewer;
//! values are made next to where they are used, so the numbers are those of the same weights in 32 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod formats;
mod kernels;
#[cfg(test)]
mod tests;

use super::WORTH_SHARING;
use super::level::Level;
use super::math::{View, matmul};
use crate::checkpoint::StoredType;
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows of weights that are made f32 at a time for a matrix product: they stay in the cache until they are used.
const ROWS: usize = 64;
/// Rows that a core takes at a time for one token.
const SHARE: usize = 32;
/// Values of a block.
const BLOCK: usize = 32;
/// Blocks whose scales are made f32 together.
const RUN: usize = 32;

/// A matrix `[out, in]`, row after row as in a file.
#[derive(Clone, Copy)]
pub(in super::super) struct Stored<'a> {
    pub kind: StoredType,
    pub bytes: &'a [u8],
    /// Values of a row.
    pub inputs: usize,
}

impl<'a> Stored<'a> {
    /// Types that products are computed with as they are stored.
    pub(in super::super) fn takes(kind: StoredType) -> bool {
        use StoredType::{BF16, F16, Q4_0, Q4_1, Q8_0};
        matches!(kind, F16 | BF16 | Q8_0 | Q4_0 | Q4_1)
    }

    /// Rows of blocks, `bytes` long each, of `inputs` values: which type that is.
    pub(in super::super) fn blocks(bytes: usize, inputs: usize) -> Option<StoredType> {
        let kinds = [StoredType::Q8_0, StoredType::Q4_0, StoredType::Q4_1];
        kinds.into_iter().find(|kind| kind.row_bytes(inputs) == Some(bytes))
    }

    fn row_bytes(self) -> usize {
        self.kind.row_bytes(self.inputs).unwrap_or(0)
    }

    fn rows(self) -> usize {
        self.bytes.len().checked_div(self.row_bytes()).unwrap_or(0)
    }

    fn slice(self, rows: std::ops::Range<usize>) -> Self {
        let row = self.row_bytes();
        let bytes = &self.bytes[rows.start * row..rows.end * row];
        Self { bytes, ..self }
    }
}

/// What a row is multiplied by.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a [f32],
    /// Sums of the blocks of `x`, then zeros to a multiple of [`RUN`]: a minimum is multiplied once a block.
    sums: &'a [f32],
}

/// `x wᵀ` for several `w`: `x`, `[n, in]`, by each `w`, `[out, in]`, to `[n, out]`, on all cores when there is enough to share.
pub(in super::super) fn linear<const N: usize>(weights: [Stored; N], x: &[f32]) -> [Vec<f32>; N] {
    let n = weights.first().map_or(0, |w| x.len() / w.inputs);
    if n == 1 {
        one_token(Level::best(), weights, x)
    } else {
        weights.map(|w| many_tokens(w, x, n))
    }
}

/// Rows `ids` of `w`, `[ids, in]`.
pub(in super::super) fn rows(w: Stored, ids: impl Iterator<Item = usize>) -> Vec<f32> {
    let mut values = Vec::new();
    for id in ids {
        w.kind.decode(w.slice(id..id + 1).bytes, &mut values);
    }
    values
}

/// All of the products are shared out together: the cores are woken once.
fn one_token<const N: usize>(level: Level, weights: [Stored; N], x: &[f32]) -> [Vec<f32>; N] {
    let mut sums: Vec<f32> = x.chunks(BLOCK).map(|block| block.iter().sum()).collect();
    sums.resize(sums.len().next_multiple_of(RUN), 0.0);
    let input = Input { x, sums: &sums };
    let mut ys = weights.map(|w| vec![0f32; w.rows()]);
    let mut shares = Vec::new();
    for (w, y) in weights.iter().zip(&mut ys) {
        let parts = y.chunks_mut(SHARE).enumerate();
        shares.extend(parts.map(|(i, y)| (w.slice(i * SHARE..i * SHARE + y.len()), y)));
    }
    let work = |(w, y): (Stored, &mut [f32])| level.dots(w, input, y);
    let elements: usize = weights.iter().map(|w| w.rows() * w.inputs).sum();
    if elements < WORTH_SHARING {
        shares.into_iter().for_each(work);
    } else {
        shares.into_par_iter().for_each(work);
    }
    ys
}

thread_local! {
    /// Rows as f32.
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn many_tokens(w: Stored, x: &[f32], n: usize) -> Vec<f32> {
    let (inputs, outputs, level) = (w.inputs, w.rows(), Level::best());
    let block = |start: usize| -> Vec<f32> {
        let rows = ROWS.min(outputs - start);
        let mut y = vec![0f32; n * rows];
        WIDE.with_borrow_mut(|wide| {
            wide.resize(rows * inputs, 0.0);
            level.widen(w.slice(start..start + rows), wide);
            let views = (View::rows(0, inputs), View::rows(0, inputs).t());
            let sizes = [n, rows, inputs];
            matmul(
                sizes,
                (&mut y, View::rows(0, rows)),
                (x, views.0),
                (wide, views.1),
                false,
            );
        });
        y
    };
    let starts = (0..outputs.div_ceil(ROWS)).into_par_iter();
    let blocks: Vec<Vec<f32>> = starts.map(|i| block(i * ROWS)).collect();
    let mut y = Vec::with_capacity(n * outputs);
    for i in 0..n {
        for block in &blocks {
            let rows = block.len() / n;
            y.extend_from_slice(&block[i * rows..(i + 1) * rows]);
        }
    }
    y
}
