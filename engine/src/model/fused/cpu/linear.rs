//! Linear layers, with their gradients. One thread: the trainer runs a share of the batch on each.

use super::math::{View, matmul, product};
use super::wide::wide_fn;

/// `x wᵀ + b`: `x`, `[n, in]`, by `w`, `[out, in]`, to `[n, out]`.
pub(in super::super) fn linear(x: &[f32], w: &[f32], b: Option<&[f32]>, [n, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    let sizes = [n, outputs, inputs];
    let (x, w) = ((x, View::rows(0, inputs)), (w, View::rows(0, inputs).t()));
    let Some(b) = b else {
        return product(sizes, x, w);
    };
    let mut y = b.repeat(n);
    matmul(sizes, (&mut y, View::rows(0, outputs)), x, w, true);
    y
}

/// Gradient of [`linear`] for `x`: `dy w`.
pub(in super::super) fn linear_backward_x(dy: &[f32], w: &[f32], [n, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    product(
        [n, inputs, outputs],
        (dy, View::rows(0, outputs)),
        (w, View::rows(0, inputs)),
    )
}

/// Gradient of [`linear`] for `w`: `dyᵀ x`.
pub(in super::super) fn linear_backward_w(dy: &[f32], x: &[f32], [n, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    product(
        [outputs, inputs, n],
        (dy, View::rows(0, outputs).t()),
        (x, View::rows(0, inputs)),
    )
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
