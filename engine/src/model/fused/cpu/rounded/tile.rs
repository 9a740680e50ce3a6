//! The product by AVX512-BF16: `a` and `b` packed, then tiles of 6 rows by 64 columns whose sums stay in registers.

use super::super::math::{PART, View, in_parts};
use super::Source;
use super::pack::{across, along, first};
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

/// Vectors of columns of a tile: 24 sums, 4 vectors of `b` and one of `a` fill the 32 registers.
const VECTORS: usize = 4;
const COLUMNS: usize = 16 * VECTORS;
const ROWS: usize = 6;
/// Rows of `a` that stay in the second cache while all of `b` passes by; a thread takes so many at a time.
const BAND: usize = 192;
/// Terms of a sum that are packed at a time.
const DEPTH: usize = 512;

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

/// See [`super::add_rounded_product`]. Bands of rows are shared with the threads of rayon's pool that have nothing to do.
///
/// # Safety
/// The processor has AVX512-BF16. The sizes are not 0; the views are inside of `a` and `b`; `dst` can be written, and read with `add`, for `m × n` numbers.
pub(super) unsafe fn matmul(
    [m, n, k]: [usize; 3],
    dst: *mut f32,
    a: (Source<'_>, View),
    (b, b_view): (Source<'_>, View),
    add: bool,
) {
    let panels = n.div_ceil(COLUMNS);
    // A part for several threads, if each is worth the waking.
    let worth = (m * n * k.min(DEPTH) / PART).min(m / (4 * ROWS)).min(4);
    let bands = m.div_ceil(BAND).max(worth);
    // About as many rows in each, of whole tiles.
    let band = m.div_ceil(bands).next_multiple_of(ROWS);
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        let pairs = depth.div_ceil(2);
        packed(1, panels * pairs * COLUMNS, |of_b| {
            of_b.par_chunks_mut(pairs * COLUMNS)
                .enumerate()
                .with_min_len(4)
                .for_each(|(panel, of_b)| {
                    let columns = panel * COLUMNS..n.min((panel + 1) * COLUMNS);
                    // SAFETY: the caller's word.
                    unsafe { pack_b((b, b_view), columns, from, depth, of_b) };
                });
            let product = Product {
                dst,
                n,
                a,
                b: of_b,
                from,
                depth,
                add: add || from > 0,
            };
            in_parts(m.div_ceil(band), &|i| {
                let rows = i * band..m.min((i + 1) * band);
                // SAFETY: the caller's word; no two bands have a row of `dst` in common.
                packed(0, rows.len() * pairs, |of_a| unsafe { product.band(rows, of_a) });
            });
        });
    }
}

/// What the bands of a product have in common.
struct Product<'a> {
    dst: *mut f32,
    n: usize,
    a: (Source<'a>, View),
    /// Packed.
    b: &'a [u32],
    from: usize,
    depth: usize,
    add: bool,
}

// SAFETY: `dst` is written by bands, no two of which have a row in common.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Rows `rows` of the product; `packed` has room for theirs of `a`.
    ///
    /// # Safety
    /// As [`matmul`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn band(&self, rows: Range<usize>, packed: &mut [u32]) {
        let pairs = self.depth.div_ceil(2);
        // SAFETY: the caller's word for the views; every tile stays inside of what was packed and of the rows of `dst`.
        unsafe {
            let (row, pair) = pack_a(self.a, rows.clone(), self.from, self.depth, packed);
            for (panel, b) in self.b.chunks_exact(pairs * COLUMNS).enumerate() {
                let columns = COLUMNS.min(self.n - panel * COLUMNS);
                for i in (0..rows.len()).step_by(ROWS) {
                    let a = Strided {
                        at: packed.as_ptr().add(i * row),
                        row,
                        pair,
                    };
                    let at = self.dst.add((rows.start + i) * self.n + panel * COLUMNS);
                    let to = Target {
                        at,
                        row: self.n,
                        columns,
                        add: self.add,
                    };
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
/// As [`matmul`]; `out` has room for so many rows of pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_a(
    (a, view): (Source<'_>, View),
    rows: Range<usize>,
    from: usize,
    depth: usize,
    out: &mut [u32],
) -> (usize, usize) {
    let (m, pairs) = (rows.len(), depth.div_ceil(2));
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

/// Terms `from..from + depth` of `columns` of `b`, at most [`COLUMNS`]: a panel.
///
/// # Safety
/// As [`matmul`]; `out` has room for the panel.
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

/// Packed rows of `a`.
#[derive(Clone, Copy)]
struct Strided {
    at: *const u32,
    row: usize,
    pair: usize,
}

/// Where a tile is written.
#[derive(Clone, Copy)]
struct Target {
    at: *mut f32,
    row: usize,
    columns: usize,
    add: bool,
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
