//! The kernel for AMX-BF16 (Sapphire Rapids and later): 32 rows by 32 columns of sums in four of the processor's tiles.
//!
//! The intrinsics are not stable, so the loop is assembly. Linux gives the tiles to a process that asks for them; elsewhere
//! [`super::vectors`] multiply.

use super::super::math::View;
use super::Source;
use super::bands::{Kernel, Product};
use super::pack::{LINE as TILE, across, along, transpose, whole_line};
use std::arch::x86_64::*;
use std::ops::Range;
use tiles::{TWO, Tiles};

mod tiles;
pub(super) use tiles::available;

/// Tiles of 16 rows of 16 pairs. `a` is packed tile by tile, so that each is read from one place.
pub(super) struct Amx;

impl Kernel for Amx {
    const ROWS: usize = TWO;
    const COLUMNS: usize = TWO;

    /// Whole tiles, the last filled up with zeros.
    fn stored(pairs: usize) -> usize {
        pairs.next_multiple_of(TILE)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack_b((b, view): (Source<'_>, View), columns: Range<usize>, from: usize, depth: usize, out: &mut [u32]) {
        if columns.len() < TWO {
            out.fill(0);
        }
        let pairs = depth.div_ceil(2);
        if view.column == 1 {
            for (p, out) in out.chunks_exact_mut(TWO).enumerate() {
                if p >= pairs {
                    out.fill(0);
                    continue;
                }
                let low = view.at + (from + 2 * p) * view.row + columns.start;
                let high = (2 * p + 1 < depth).then_some(low + view.row);
                // SAFETY: the caller's word.
                unsafe { across(b, low, high, columns.len(), out) };
            }
            return;
        }
        assert_eq!(view.row, 1, "one stride of two is 1");
        let mut lines = [[0; TILE]; TILE];
        for (p, out) in (0..).step_by(TILE).zip(out.chunks_exact_mut(TILE * TWO)) {
            for group in (0..columns.len()).step_by(TILE) {
                let own = TILE.min(columns.len() - group);
                for (column, line) in (columns.start + group..).zip(&mut lines[..own]) {
                    // SAFETY: the caller's word.
                    unsafe { line_of(b, view.at + column * view.column + from, depth, p, line) };
                }
                lines[own..].fill([0; TILE]);
                // SAFETY: a tile of 16 rows from there on.
                unsafe { transpose(&lines, out[group..].as_mut_ptr(), TWO) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn band(product: &Product<'_>, rows: Range<usize>, packed: &mut [u32]) {
        let pairs = product.pairs;
        // SAFETY: the caller's word for the views; every tile stays inside of what was packed and of the rows of `to`.
        unsafe {
            pack_a(product.a, rows.clone(), product.from, product.depth, packed);
            let tiles = Tiles::new();
            for (panel, b) in product.b.chunks_exact(pairs * TWO).enumerate() {
                for i in (0..rows.len()).step_by(TWO) {
                    let a = packed.as_ptr().add(i * pairs);
                    let to = product.to.part(rows.start + i, panel * TWO, TWO);
                    tiles.block(a, b.as_ptr(), pairs, rows.len() - i, to);
                }
            }
        }
    }
}

/// Pairs `p..p + 16` of a sum of `depth` terms that lie one after the other from `at` on; zeros beyond.
///
/// # Safety
/// The terms are inside of `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn line_of(source: Source<'_>, at: usize, depth: usize, p: usize, line: &mut [u32]) {
    let terms = depth.saturating_sub(2 * p).min(2 * TILE);
    // SAFETY: the caller's word; `line` has room for 16 pairs.
    unsafe {
        if terms == 2 * TILE {
            let pairs = whole_line(source, at + 2 * p);
            return _mm512_storeu_si512(line[..TILE].as_mut_ptr().cast(), pairs);
        }
        along(source, at + 2 * p, terms, line);
    }
    line[terms.div_ceil(2)..].fill(0);
}

/// Terms `from..from + depth` of `rows` of `a`: for 16 rows after the other, tiles of 16 pairs of each.
///
/// # Safety
/// The rows and terms are inside of `a`; `out` has room for whole tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_a((a, view): (Source<'_>, View), rows: Range<usize>, from: usize, depth: usize, out: &mut [u32]) {
    let pairs = depth.div_ceil(2);
    let block = TILE * Amx::stored(pairs);
    if view.column == 1 {
        for (i, row) in rows.enumerate() {
            let out = out[i / TILE * block..][..block].chunks_exact_mut(TILE * TILE);
            for (p, tile) in (0..).step_by(TILE).zip(out) {
                let line = &mut tile[i % TILE * TILE..][..TILE];
                // SAFETY: the caller's word.
                unsafe { line_of(a, view.at + row * view.row + from, depth, p, line) };
            }
        }
        return;
    }
    assert_eq!(view.row, 1, "one stride of two is 1");
    // Tiles of all rows before those of the next terms: neighbours in memory after each other.
    let mut lines = [[0; TILE]; TILE];
    for first_pair in (0..pairs).step_by(TILE) {
        for (start, out) in rows.clone().step_by(TILE).zip(out.chunks_exact_mut(block)) {
            let m = TILE.min(rows.end - start);
            for (p, line) in (first_pair..).zip(&mut lines) {
                if p >= pairs {
                    line.fill(0);
                    continue;
                }
                let low = view.at + (from + 2 * p) * view.column + start;
                let high = (2 * p + 1 < depth).then_some(low + view.column);
                // SAFETY: the caller's word.
                unsafe { across(a, low, high, m, line) };
            }
            // SAFETY: a tile.
            unsafe { transpose(&lines, out[TILE * first_pair..].as_mut_ptr(), TILE) };
        }
    }
}
