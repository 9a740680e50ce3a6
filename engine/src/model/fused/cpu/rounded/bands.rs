//! Products in bands of rows: `b` is packed in panels of columns, `a` band by band, and a kernel multiplies what was packed.

use super::super::math::{PART, View, in_parts};
use super::{Source, Target};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Rows of `a` that stay in the second cache while all of `b` passes by; a thread takes so many at a time.
const BAND: usize = 192;
/// Terms of a sum that are packed at a time.
pub(super) const DEPTH: usize = 512;

/// How the processor multiplies.
pub(super) trait Kernel {
    /// Rows that it takes at a time.
    const ROWS: usize;
    /// Columns of a panel.
    const COLUMNS: usize;

    /// Pairs of terms that are stored of so many.
    fn stored(pairs: usize) -> usize;

    /// Terms `from..from + depth` of `columns` of `b`, at most [`Self::COLUMNS`]: a panel, [`Self::stored`] pairs of all columns after each other.
    ///
    /// # Safety
    /// The processor has what the kernel is for; columns and terms are inside of `b`; `out` has room for the panel.
    unsafe fn pack_b(b: (Source<'_>, View), columns: Range<usize>, from: usize, depth: usize, out: &mut [u32]);

    /// Rows `rows` of the product; `packed` has room for theirs of `a`, a multiple of [`Self::ROWS`].
    ///
    /// # Safety
    /// The processor has what the kernel is for; the views are inside of `a` and `b`; `dst` can be written, and read with `add`.
    unsafe fn band(product: &Product<'_>, rows: Range<usize>, packed: &mut [u32]);
}

/// What the bands of a product have in common.
pub(super) struct Product<'a> {
    pub(super) to: Target,
    pub(super) a: (Source<'a>, View),
    /// Packed.
    pub(super) b: &'a [u32],
    /// First of the terms that are added up.
    pub(super) from: usize,
    /// How many.
    pub(super) depth: usize,
    /// Pairs of them that are stored.
    pub(super) pairs: usize,
}

// SAFETY: `to` is written by bands, no two of which have a row in common.
unsafe impl Sync for Product<'_> {}

impl Target {
    /// From a row and a column on, `columns` at most.
    ///
    /// # Safety
    /// They are inside.
    pub(super) unsafe fn part(self, row: usize, column: usize, columns: usize) -> Self {
        Self {
            // SAFETY: the caller's word.
            at: unsafe { self.at.add(row * self.row + column) },
            columns: columns.min(self.columns - column),
            ..self
        }
    }
}

thread_local! {
    /// Packed `a` and packed `b`, kept from product to product. They are taken out while they are in use: a thread that waits for others
    /// may begin a part of another product meanwhile.
    static PACKED: RefCell<[Vec<u32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// `f` with space for `len` pairs of matrix `which`.
fn packed<R>(which: usize, len: usize, f: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut space = PACKED.with_borrow_mut(|packed| std::mem::take(&mut packed[which]));
    if space.len() < len {
        space.resize(len, 0);
    }
    let done = f(&mut space[..len]);
    PACKED.with_borrow_mut(|packed| packed[which] = space);
    done
}

/// `a·b`, `[m, k]·[k, to.columns]`. Bands of rows are shared with the threads of rayon's pool that have nothing to do.
///
/// # Safety
/// The processor has what `K` is for. The sizes are not 0; the views are inside of `a` and `b`; `to` can be written for `m` rows, and
/// read where it says `add`.
pub(super) unsafe fn matmul<K: Kernel>(
    [m, k]: [usize; 2],
    to: Target,
    a: (Source<'_>, View),
    (b, b_view): (Source<'_>, View),
) {
    let n = to.columns;
    let panels = n.div_ceil(K::COLUMNS);
    // A part for several threads, if each is worth the waking.
    let worth = (m * n * k.min(DEPTH) / PART).min(m / (4 * K::ROWS)).min(4);
    let bands = m.div_ceil(BAND).max(worth);
    // About as many rows in each, of whole tiles.
    let band = m.div_ceil(bands).next_multiple_of(K::ROWS);
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        let pairs = K::stored(depth.div_ceil(2));
        packed(1, panels * pairs * K::COLUMNS, |of_b| {
            of_b.par_chunks_mut(pairs * K::COLUMNS)
                .enumerate()
                .with_min_len(4)
                .for_each(|(panel, of_b)| {
                    let columns = panel * K::COLUMNS..n.min((panel + 1) * K::COLUMNS);
                    // SAFETY: the caller's word.
                    unsafe { K::pack_b((b, b_view), columns, from, depth, of_b) };
                });
            let add = to.add || from > 0;
            let product = Product {
                to: Target { add, ..to },
                a,
                b: of_b,
                from,
                depth,
                pairs,
            };
            in_parts(m.div_ceil(band), &|i| {
                let rows = i * band..m.min((i + 1) * band);
                let len = rows.len().next_multiple_of(K::ROWS) * pairs;
                // SAFETY: the caller's word; no two bands have a row of `to` in common.
                packed(0, len, |of_a| unsafe { K::band(&product, rows, of_a) });
            });
        });
    }
}
