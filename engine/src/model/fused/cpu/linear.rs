//! Linear layers, with their gradients. The trainer runs a share of the batch on each thread; one that is done takes parts of the others' products.

use super::math::{View, product, shared_matmul};
use super::rounded::{Source, add_rounded_product, rounded_product};
use super::wide::wide_fn;

/// `x wᵀ + b`: `x`, `[n, in]`, by `w`, `[out, in]`, to `[n, out]`. With `w` in bfloat16 `x` is rounded to it, too.
pub(in super::super) fn linear(
    x: &[f32],
    w: Source<'_>,
    b: Option<&[f32]>,
    [n, inputs, outputs]: [usize; 3],
) -> Vec<f32> {
    let sizes = [n, outputs, inputs];
    let (x_view, w_view) = (View::rows(0, inputs), View::rows(0, inputs).t());
    let Some(b) = b else {
        return of(sizes, (x, x_view), (w, w_view));
    };
    let mut y = b.repeat(n);
    match w {
        Source::F32(w) => shared_matmul(sizes, &mut y, (x, x_view), (w, w_view), true),
        w => add_rounded_product(sizes, &mut y, (Source::F32(x), x_view), (w, w_view)),
    }
    y
}

/// Gradient of [`linear`] for `x`: `dy w`.
pub(in super::super) fn linear_backward_x(dy: &[f32], w: Source<'_>, [n, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    of(
        [n, inputs, outputs],
        (dy, View::rows(0, outputs)),
        (w, View::rows(0, inputs)),
    )
}

/// Gradient of [`linear`] for `w`: `dyᵀ x`; `rounded`: of both in bfloat16.
pub(in super::super) fn linear_backward_w(
    dy: &[f32],
    x: &[f32],
    [n, inputs, outputs]: [usize; 3],
    rounded: bool,
) -> Vec<f32> {
    let (sizes, dy, x) = (
        [outputs, inputs, n],
        (dy, View::rows(0, outputs).t()),
        (x, View::rows(0, inputs)),
    );
    if !rounded {
        return product(sizes, dy, x);
    }
    product_in_bf16(sizes, dy, x)
}

/// `a·b` with both rounded to bfloat16.
pub(in super::super) fn product_in_bf16(
    sizes: [usize; 3],
    (a, a_view): (&[f32], View),
    (b, b_view): (&[f32], View),
) -> Vec<f32> {
    rounded_product(sizes, (Source::F32(a), a_view), (Source::F32(b), b_view))
}

/// `a·b` in the type of `b`.
fn of(sizes: [usize; 3], (a, a_view): (&[f32], View), (b, b_view): (Source<'_>, View)) -> Vec<f32> {
    match b {
        Source::F32(b) => product(sizes, (a, a_view), (b, b_view)),
        b => rounded_product(sizes, (Source::F32(a), a_view), (b, b_view)),
    }
}

wide_fn! {
    /// Gradient of [`linear`] for `b`: the sum of the rows of `dy`.
    pub(in super::super) fn column_sums(dy: &[f32], columns: usize) -> Vec<f32> {
        let mut sums = vec![0f32; columns];
        for row in dy.chunks_exact(columns) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
        sums
    }
}
