//! Exponentials that the compiler can vectorise, and strided matrix products.

/// `e^x` to about 2 ulp for |x| < 87; 0 below, saturating above.
///
/// The C library's `expf` is a call per value; this is a polynomial that vectorises (Cephes' coefficients).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer without a library call; the integer stands in the low bits
    // of the sum. (A cast to i32 saturates, and the compiler then takes one number after the other in longer loops.)
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// A matrix inside a slice: where it begins, its strides.
#[derive(Clone, Copy)]
pub(in super::super) struct View {
    pub at: usize,
    pub row: usize,
    pub column: usize,
}

impl View {
    pub(in super::super) fn rows(at: usize, row: usize) -> Self {
        Self { at, row, column: 1 }
    }

    /// The transpose.
    pub(in super::super) fn t(self) -> Self {
        Self {
            at: self.at,
            row: self.column,
            column: self.row,
        }
    }

    pub(super) fn end(self, rows: usize, columns: usize) -> usize {
        self.at + (rows - 1) * self.row + (columns - 1) * self.column + 1
    }
}

/// `dst = a·b` (`add`: `dst += a·b`), `[m, k]·[k, n]`, any of them strided.
pub(super) fn matmul(
    [m, n, k]: [usize; 3],
    (dst, dst_view): (&mut [f32], View),
    (a, a_view): (&[f32], View),
    (b, b_view): (&[f32], View),
    add: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(dst_view.end(m, n) <= dst.len());
    // SAFETY: the assertion above bounds every element of `dst` that the product touches.
    unsafe {
        gemm(
            [m, n, k],
            (dst.as_mut_ptr().add(dst_view.at), dst_view),
            (a, a_view),
            (b, b_view),
            add,
        )
    };
}

/// Products of two numbers that are worth another thread's while: some tens of microseconds.
#[cfg(feature = "train")]
pub(super) const PART: usize = 1 << 22;

/// `part(0)`, `part(1)`, …, some of them by threads of rayon's pool that have nothing to do. Whoever does them, they are the same parts, so
/// results do not depend on it.
#[cfg(feature = "train")]
pub(super) fn in_parts(parts: usize, part: &(impl Fn(usize) + Sync)) {
    fn between(from: usize, to: usize, part: &(impl Fn(usize) + Sync)) {
        match to - from {
            0 => {}
            1 => part(from),
            n => {
                let middle = from + n / 2;
                rayon::join(|| between(from, middle, part), || between(middle, to, part));
            }
        }
    }
    between(0, parts, part);
}

/// `a·b` as a new matrix in row-major order. It is written once: zeros first would cost another pass over it.
#[cfg(feature = "train")]
pub(super) fn product([m, n, k]: [usize; 3], a: (&[f32], View), b: (&[f32], View)) -> Vec<f32> {
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    let mut dst = Vec::with_capacity(m * n);
    // SAFETY: there is room for `m × n` numbers in rows of `n`; the product writes each and reads none.
    unsafe {
        gemm_in_parts([m, n, k], dst.as_mut_ptr(), a, b, false);
        dst.set_len(m * n);
    }
    dst
}

/// As [`matmul`] to rows of `n`, shared with idle threads where it is long.
#[cfg(feature = "train")]
pub(super) fn shared_matmul([m, n, k]: [usize; 3], dst: &mut [f32], a: (&[f32], View), b: (&[f32], View), add: bool) {
    assert!(m * n <= dst.len());
    if m > 0 && n > 0 && k > 0 {
        // SAFETY: the assertion above.
        unsafe { gemm_in_parts([m, n, k], dst.as_mut_ptr(), a, b, add) };
    }
}

/// # Safety
/// As [`gemm`], for `m` rows of `n` numbers.
#[cfg(feature = "train")]
pub(super) unsafe fn gemm_in_parts(
    [m, n, k]: [usize; 3],
    dst: *mut f32,
    (a, a_view): (&[f32], View),
    b: (&[f32], View),
    add: bool,
) {
    struct Rows(*mut f32);
    // SAFETY: no two parts have a row in common.
    unsafe impl Sync for Rows {}
    let dst = Rows(dst);
    let parts = (m * n * k).div_ceil(PART).min(8).min(m.div_ceil(64)).max(1);
    let rows = m.div_ceil(parts);
    in_parts(m.div_ceil(rows), &|i| {
        let dst = &dst;
        let (from, to) = (i * rows, m.min((i + 1) * rows));
        let of_a = View {
            at: a_view.at + from * a_view.row,
            ..a_view
        };
        // SAFETY: the caller's word; rows `from..to` of it.
        unsafe {
            gemm(
                [to - from, n, k],
                (dst.0.add(from * n), View::rows(0, n)),
                (a, of_a),
                b,
                add,
            )
        };
    });
}

/// As [`matmul`], none of the sizes 0.
///
/// # Safety
/// All elements of the view of `dst` must be writable, and readable with `add`.
unsafe fn gemm(
    [m, n, k]: [usize; 3],
    (dst, dst_view): (*mut f32, View),
    (a, a_view): (&[f32], View),
    (b, b_view): (&[f32], View),
    add: bool,
) {
    assert!(a_view.end(m, k) <= a.len() && b_view.end(k, n) <= b.len());
    // SAFETY: the assertion above bounds every element of `a` and `b` that the product reads; `dst` is the caller's word.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            dst_view.column as isize,
            dst_view.row as isize,
            add,
            a.as_ptr().add(a_view.at),
            a_view.column as isize,
            a_view.row as isize,
            b.as_ptr().add(b_view.at),
            b_view.column as isize,
            b_view.row as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_close_to_the_library_s() {
        for i in -870..=870 {
            let x = i as f32 / 10.0;
            let relative = (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs();
            assert!(relative < 3e-7, "exp({x}): {relative}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "tanh({x})");
        }
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn a_product_of_views_is_the_product() {
        // a: 2×3 stored with row stride 4; b: 3×2 stored transposed.
        let a = [1., 2., 3., 9., 4., 5., 6., 9.];
        let b = [1., 0., 2., -1., 1., 0.];
        let mut dst = [10.0; 4];
        matmul(
            [2, 2, 3],
            (&mut dst, View::rows(0, 2)),
            (&a, View::rows(0, 4)),
            (&b, View::rows(0, 3).t()),
            true,
        );
        assert_eq!(dst, [17., 11., 26., 11.]);
    }
}
