//! The kernel for AVX512-BF16: tiles of 6 rows by 64 columns whose sums stay in registers.

use super::super::math::View;
use super::bands::{DEPTH, Kernel, Product};
use super::pack::{across, along, first};
use super::{Source, Target};
use std::arch::x86_64::*;
use std::ops::Range;

/// Vectors of columns of a tile: 24 sums, 4 vectors of `b` and one of `a` fill the 32 registers.
const VECTORS: usize = 4;
const COLUMNS: usize = 16 * VECTORS;
const ROWS: usize = 6;

/// Vectors of 32 bfloat16.
pub(super) struct Vectors;

impl Kernel for Vectors {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;

    fn stored(pairs: usize) -> usize {
        pairs
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack_b((b, view): (Source<'_>, View), columns: Range<usize>, from: usize, depth: usize, out: &mut [u32]) {
        // What is left of the last panel is multiplied, too, and then dropped: zeros are as quick as anything.
        if columns.len() < COLUMNS {
            out.fill(0);
        }
        // SAFETY: the caller's word.
        unsafe {
            if view.column == 1 {
                for (p, out) in out.chunks_exact_mut(COLUMNS).enumerate() {
                    let low = view.at + (from + 2 * p) * view.row + columns.start;
                    let high = (2 * p + 1 < depth).then_some(low + view.row);
                    across(b, low, high, columns.len(), out);
                }
                return;
            }
            assert_eq!(view.row, 1, "one stride of two is 1");
            let mut line = [0u32; DEPTH / 2];
            for (lane, column) in columns.enumerate() {
                along(b, view.at + column * view.column + from, depth, &mut line);
                for (out, pair) in out[lane..].iter_mut().step_by(COLUMNS).zip(&line) {
                    *out = *pair;
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn band(product: &Product<'_>, rows: Range<usize>, packed: &mut [u32]) {
        let pairs = product.pairs;
        // SAFETY: the caller's word for the views; every tile stays inside of what was packed and of the rows of `to`.
        unsafe {
            let (row, pair) = pack_a(product.a, rows.clone(), product.from, product.depth, packed);
            for (panel, b) in product.b.chunks_exact(pairs * COLUMNS).enumerate() {
                for i in (0..rows.len()).step_by(ROWS) {
                    let a = Strided {
                        at: packed.as_ptr().add(i * row),
                        row,
                        pair,
                    };
                    let to = product.to.part(rows.start + i, panel * COLUMNS, COLUMNS);
                    match ROWS.min(rows.len() - i) {
                        6 => tile::<6>(a, b.as_ptr(), pairs, to),
                        5 => tile::<5>(a, b.as_ptr(), pairs, to),
                        4 => tile::<4>(a, b.as_ptr(), pairs, to),
                        3 => tile::<3>(a, b.as_ptr(), pairs, to),
                        2 => tile::<2>(a, b.as_ptr(), pairs, to),
                        _ => tile::<1>(a, b.as_ptr(), pairs, to),
                    }
                }
            }
        }
    }
}

/// Terms `from..from + depth` of `rows` of `a`; strides of rows and of pairs in what was packed.
///
/// # Safety
/// As [`Kernel::band`]; `out` has room for so many rows of pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_a(
    (a, view): (Source<'_>, View),
    rows: Range<usize>,
    from: usize,
    depth: usize,
    out: &mut [u32],
) -> (usize, usize) {
    let (m, pairs) = (rows.len(), depth.div_ceil(2));
    let out = &mut out[..m * pairs];
    // SAFETY: the caller's word.
    unsafe {
        if view.column == 1 {
            for (row, out) in rows.zip(out.chunks_exact_mut(pairs)) {
                along(a, view.at + row * view.row + from, depth, out);
            }
            return (pairs, 1);
        }
        assert_eq!(view.row, 1, "one stride of two is 1");
        for (p, out) in out.chunks_exact_mut(m).enumerate() {
            let low = view.at + (from + 2 * p) * view.column + rows.start;
            let high = (2 * p + 1 < depth).then_some(low + view.column);
            across(a, low, high, m, out);
        }
    }
    (1, m)
}

/// Packed rows of `a`.
#[derive(Clone, Copy)]
struct Strided {
    at: *const u32,
    row: usize,
    pair: usize,
}

/// `R` rows by a panel of `b`.
///
/// # Safety
/// `a` holds `R` rows and `b` a panel of so many pairs; `to` can be written, and read where it says `add`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn tile<const R: usize>(a: Strided, b: *const u32, pairs: usize, to: Target) {
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; R];
    // SAFETY: the caller's word; vectors of 16 pairs and of 32 bfloat16 are the same bits.
    unsafe {
        for p in 0..pairs {
            let of_b: [__m512bh; VECTORS] = std::array::from_fn(|v| {
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.add(p * COLUMNS + 16 * v).cast()))
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let pair = _mm512_set1_epi32(*a.at.add(r * a.row + p * a.pair) as i32);
                let pair = std::mem::transmute::<__m512i, __m512bh>(pair);
                for (sum, of_b) in sums.iter_mut().zip(of_b) {
                    *sum = _mm512_dpbf16_ps(*sum, pair, of_b);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let mask = first(to.columns.saturating_sub(16 * v));
                let at = to.at.wrapping_add(r * to.row + 16 * v);
                let before = if to.add {
                    _mm512_maskz_loadu_ps(mask, at)
                } else {
                    _mm512_setzero_ps()
                };
                _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(sum, before));
            }
        }
    }
}
