//! Matrix products whose inputs are rounded to bfloat16, with sums in f32 (`precision = "bf16"` of a recipe).
//!
//! Where the processor multiplies bfloat16 (AVX512-BF16: Zen 4, Sapphire Rapids and later; AMX: the latter) both matrices are rounded
//! while they are packed, and a product costs half of one in f32, with AMX a tenth. Elsewhere the rounded numbers are multiplied in f32.

#[cfg(target_arch = "x86_64")]
mod amx;
mod bands;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod vectors;

use super::math::{View, gemm_in_parts, matmul};
use super::wide::wide_fn;
use half::bf16;

/// Numbers to multiply.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Source<'a> {
    /// Rounded when they are read.
    F32(&'a [f32]),
    /// Rounded already.
    Bf16(&'a [bf16]),
}

impl Source<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(s) => s.len(),
            Self::Bf16(s) => s.len(),
        }
    }

    /// The rounded numbers as f32.
    fn widened(self) -> Vec<f32> {
        match self {
            Self::F32(s) => s.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            Self::Bf16(s) => s.iter().map(|x| x.to_f32()).collect(),
        }
    }
}

wide_fn! {
    /// `x` rounded, to the nearest even.
    pub(in super::super) fn in_bf16(x: &[f32]) -> Vec<bf16> {
        // As `bf16::from_f32`, but without a branch, so that the compiler takes many at a time.
        let round = |x: &f32| {
            let bits = x.to_bits();
            let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
            let nan = bits | 0x0040_0000;
            bf16::from_bits(((if x.is_nan() { nan } else { nearest }) >> 16) as u16)
        };
        x.iter().map(round).collect()
    }
}

/// Where sums are written, in rows that are `row` apart.
#[derive(Clone, Copy)]
struct Target {
    at: *mut f32,
    row: usize,
    columns: usize,
    /// To what is there.
    add: bool,
}

/// `dst += a·b`, `[m, k]·[k, n]`; `dst` in rows of `n`. Of `a` and `b` one of both strides must be 1.
pub(super) fn add_rounded_product(sizes: [usize; 3], dst: &mut [f32], a: (Source<'_>, View), b: (Source<'_>, View)) {
    let [m, n, k] = sizes;
    assert!(dst.len() >= m * n);
    let to = Target {
        at: dst.as_mut_ptr(),
        row: n,
        columns: n,
        add: true,
    };
    // SAFETY: the assertion above.
    unsafe { matmul_to([m, k], to, a, b) };
}

/// `a·b` as a new matrix in row-major order; as [`add_rounded_product`].
pub(super) fn rounded_product([m, n, k]: [usize; 3], a: (Source<'_>, View), b: (Source<'_>, View)) -> Vec<f32> {
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    let mut dst = Vec::with_capacity(m * n);
    let to = Target {
        at: dst.as_mut_ptr(),
        row: n,
        columns: n,
        add: false,
    };
    // SAFETY: there is room for `m` rows of `n` numbers; the product writes each and reads none.
    unsafe {
        matmul_to([m, k], to, a, b);
        dst.set_len(m * n);
    }
    dst
}

/// As [`matmul`], with `a` and `b` rounded if the processor has AMX and the product is not a few numbers. Else in f32: these
/// products are small, and whether vectors win by rounding what they lose by packing was not tried.
pub(super) fn matmul_by_amx(
    sizes: [usize; 3],
    (dst, dst_view): (&mut [f32], View),
    a: (&[f32], View),
    b: (&[f32], View),
    add: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if sizes.into_iter().all(|n| n >= 16) && dst_view.column == 1 && amx::available() {
        let [m, n, k] = sizes;
        assert!(dst_view.end(m, n) <= dst.len());
        let to = Target {
            at: dst[dst_view.at..].as_mut_ptr(),
            row: dst_view.row,
            columns: n,
            add,
        };
        // SAFETY: the assertion above.
        return unsafe { matmul_to([m, k], to, (Source::F32(a.0), a.1), (Source::F32(b.0), b.1)) };
    }
    matmul(sizes, (dst, dst_view), a, b, add);
}

/// # Safety
/// `to` can be written for `m` rows, and read where it says `add`.
unsafe fn matmul_to([m, k]: [usize; 2], to: Target, (a, a_view): (Source<'_>, View), (b, b_view): (Source<'_>, View)) {
    let n = to.columns;
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(a_view.end(m, k) <= a.len() && b_view.end(k, n) <= b.len());
    // SAFETY: the processor has what the kernels are for; the assertion bounds `a` and `b`, the caller `to`.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        if amx::available() {
            return bands::matmul::<amx::Amx>([m, k], to, (a, a_view), (b, b_view));
        }
        if available() {
            return bands::matmul::<vectors::Vectors>([m, k], to, (a, a_view), (b, b_view));
        }
    }
    // SAFETY: as above.
    unsafe { widened_matmul([m, k], to, (a, a_view), (b, b_view)) };
}

/// The rounded numbers multiplied in f32: for processors that do not multiply bfloat16.
///
/// # Safety
/// As [`matmul_to`]; rows follow each other.
unsafe fn widened_matmul(
    [m, k]: [usize; 2],
    to: Target,
    (a, a_view): (Source<'_>, View),
    (b, b_view): (Source<'_>, View),
) {
    assert_eq!(to.row, to.columns, "rows follow each other");
    let (a, b) = (a.widened(), b.widened());
    // SAFETY: the caller's word.
    unsafe { gemm_in_parts([m, to.columns, k], to.at, (&a, a_view), (&b, b_view), to.add) };
}

/// Whether the processor multiplies bfloat16.
#[cfg(target_arch = "x86_64")]
fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers<'a> = (Source<'a>, View);
    type Kernel = unsafe fn([usize; 2], Target, Numbers<'_>, Numbers<'_>);

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n)
            .map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 999.0 - 1.0)
            .collect()
    }

    #[test]
    fn numbers_are_rounded_as_the_library_rounds_them() {
        let odd = [
            0.0,
            -0.0,
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::MIN_POSITIVE / 4.0,
            f32::MAX,
            1.0 + f32::EPSILON,
        ];
        let x: Vec<f32> = odd
            .into_iter()
            .chain(numbers(100, 4))
            .chain((0..1 << 17).map(|i| f32::from_bits(0x3f80_0000 + i)))
            .collect();
        for (found, x) in in_bf16(&x).iter().zip(&x) {
            assert_eq!(found.to_bits(), bf16::from_f32(*x).to_bits(), "{x}");
        }
    }

    #[test]
    fn processors_without_bfloat16_get_the_same_but_for_the_sum() {
        let [m, n, k] = [37, 70, 130];
        let (a, b, before) = (numbers(m * k, 1), numbers(n * k, 2), numbers(m * n, 3));
        let rounded = in_bf16(&b);
        let (a, b) = (
            (Source::F32(&a), View::rows(0, k)),
            (Source::Bf16(&rounded), View::rows(0, k).t()),
        );
        let (mut found, mut wanted) = (before.clone(), before);
        add_rounded_product([m, n, k], &mut wanted, a, b);
        let to = Target {
            at: found.as_mut_ptr(),
            row: n,
            columns: n,
            add: true,
        };
        // SAFETY: `found` has `m` rows of `n` numbers.
        unsafe { widened_matmul([m, k], to, a, b) };
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }

    /// `to`, of `m` rows, by every kernel that this processor has.
    fn kernels() -> Vec<(&'static str, Kernel)> {
        let mut kernels: Vec<(&str, Kernel)> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if available() {
                kernels.push(("vectors", bands::matmul::<vectors::Vectors>));
            }
            if amx::available() {
                kernels.push(("amx", bands::matmul::<amx::Amx>));
            }
        }
        kernels
    }

    /// What callers get, whatever the processor.
    #[test]
    fn products_are_what_kernels_give() {
        let [m, n, k] = [40, 33, 70];
        let (a, b, before) = (numbers(m * k, 1), numbers(n * k, 2), numbers(m * n, 3));
        let (a, b) = (
            (Source::F32(&a), View::rows(0, k)),
            (Source::F32(&b), View::rows(0, k).t()),
        );
        let mut added = before.clone();
        add_rounded_product([m, n, k], &mut added, a, b);
        let product = rounded_product([m, n, k], a, b);
        for ((added, before), product) in added.iter().zip(&before).zip(&product) {
            assert!((added - before - product).abs() < 1e-4, "{added} {before} {product}");
        }
    }

    /// Against sums in f64 of the rounded numbers, for sizes around those of tiles and blocks, all layouts and both types.
    #[test]
    fn products_of_rounded_numbers_are_exact_but_for_the_sum() {
        let sizes = [
            [1, 1, 1],
            [7, 3, 5],
            [6, 64, 2],
            [13, 65, 33],
            [32, 32, 32],
            [40, 96, 63],
            [5, 130, 513],
            [200, 17, 1027],
            [193, 64, 512],
        ];
        for ([m, n, k], (name, kernel)) in sizes.iter().flat_map(|s| kernels().into_iter().map(move |k| (*s, k))) {
            for (a_rows, b_rows) in [(true, true), (true, false), (false, true), (false, false)] {
                for half in [false, true] {
                    // Something before the matrices, rows that are longer than they need be.
                    let a_view = if a_rows {
                        View::rows(3, k + 2)
                    } else {
                        View::rows(3, m + 1).t()
                    };
                    let b_view = if b_rows {
                        View::rows(1, n + 3)
                    } else {
                        View::rows(1, k).t()
                    };
                    let (a, b) = (numbers(a_view.end(m, k), 1), numbers(b_view.end(k, n), 2));
                    let (ra, rb) = (in_bf16(&a), in_bf16(&b));
                    let source = |whole, rounded| {
                        if half {
                            Source::Bf16(rounded)
                        } else {
                            Source::F32(whole)
                        }
                    };
                    for add in [false, true] {
                        // Between the rows stands what must stay.
                        let row = n + 5;
                        let before = numbers(m * row, 3);
                        let mut dst = before.clone();
                        let to = Target {
                            at: dst.as_mut_ptr(),
                            row,
                            columns: n,
                            add,
                        };
                        // SAFETY: `dst` has `m` rows; the processor has the kernel.
                        unsafe { kernel([m, k], to, (source(&a, &ra), a_view), (source(&b, &rb), b_view)) };
                        for (at, &found) in dst.iter().enumerate() {
                            let (i, j) = (at / row, at % row);
                            if j >= n {
                                assert_eq!(found, before[at], "{name} {m} {n} {k}: {i} {j} is not of the product");
                                continue;
                            }
                            let (mut sum, mut size) = (if add { f64::from(before[at]) } else { 0.0 }, 1.0);
                            for p in 0..k {
                                let x = ra[a_view.at + i * a_view.row + p * a_view.column].to_f64();
                                let y = rb[b_view.at + p * b_view.row + j * b_view.column].to_f64();
                                sum += x * y;
                                size += (x * y).abs();
                            }
                            let apart = (f64::from(found) - sum).abs();
                            assert!(
                                apart < 1e-5 * size,
                                "{name} {m} {n} {k} {a_rows} {b_rows} {half}: {i} {j} {found} {sum}"
                            );
                        }
                    }
                }
            }
        }
    }
}
