//! Activations and rotation with their gradients, and the matrix-vector product.

use super::WORTH_SHARING;
use super::flash_loops::dot;
use super::math::{sigmoid, tanh};
use super::wide::{Loop, wide, wide_fn};
use rayon::prelude::*;

/// `y = w x`: `w`, `[rows, x.len()]`.
struct MatVec<'a> {
    w: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Loop for MatVec<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (y, row) in self.y.iter_mut().zip(self.w.chunks_exact(self.x.len())) {
            *y = dot(row, self.x);
        }
    }
}

/// Rows of `w`, `[rows, x.len()]`, times `x`, shared between the cores when there is enough to share.
pub(in super::super) fn mat_vec(w: &[f32], x: &[f32]) -> Vec<f32> {
    const ROWS: usize = 64;
    let d = x.len();
    let mut y = vec![0f32; w.len() / d];
    if w.len() < WORTH_SHARING {
        wide(MatVec { w, x, y: &mut y });
    } else {
        y.par_chunks_mut(ROWS)
            .zip(w.par_chunks(ROWS * d))
            .for_each(|(y, w)| wide(MatVec { w, x, y }));
    }
    y
}

wide_fn! {
    /// `silu(gate) · up`.
    pub(in super::super) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
        let mut y = up[..gate.len()].to_vec();
        for (y, &g) in y.iter_mut().zip(gate) {
            *y *= g * sigmoid(g);
        }
        y
    }
}

#[cfg(feature = "train")]
wide_fn! {
    /// Gradients of [`swiglu`] for `gate` and `up`.
    pub(in super::super) fn swiglu_backward(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let n = gate.len();
        let (up, dy) = (&up[..n], &dy[..n]);
        let (mut dg, mut du) = (vec![0f32; n], vec![0f32; n]);
        let (dg_out, du_out) = (&mut dg[..n], &mut du[..n]);
        for i in 0..n {
            let s = sigmoid(gate[i]);
            let silu = gate[i] * s;
            dg_out[i] = dy[i] * up[i] * (s + silu * (1.0 - s));
            du_out[i] = dy[i] * silu;
        }
        (dg, du)
    }
}

const GELU_SCALE: f32 = 0.797_884_6; // sqrt(2 / π)
const GELU_CUBIC: f32 = 0.044_715;

wide_fn! {
    /// GELU, tanh form.
    pub(in super::super) fn gelu_tanh(x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        for y in &mut y {
            let x = *y;
            *y = 0.5 * x * (1.0 + tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x)));
        }
        y
    }
}

#[cfg(feature = "train")]
wide_fn! {
    /// Gradient of [`gelu_tanh`].
    pub(in super::super) fn gelu_tanh_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dx = dy[..x.len()].to_vec();
        for (d, &x) in dx.iter_mut().zip(x) {
            let t = tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x));
            let slope = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * x * x);
            *d *= 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope;
        }
        dx
    }
}

/// Rotates every head of `x`, `[n, heads, 2 · half]`, by `direction` (1, or −1 for the gradient) times the angles.
pub(in super::super) fn rotate(
    x: &[f32],
    cos: &[f32],
    sin: &[f32],
    [heads, half]: [usize; 2],
    direction: f32,
) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    for (row, (c, s)) in cos.chunks_exact(half).zip(sin.chunks_exact(half)).enumerate() {
        for head in 0..heads {
            let at = (row * heads + head) * 2 * half;
            let (a, b) = x[at..at + 2 * half].split_at(half);
            let (ya, yb) = y[at..at + 2 * half].split_at_mut(half);
            for i in 0..half {
                let s = s[i] * direction;
                ya[i] = a[i] * c[i] - b[i] * s;
                yb[i] = b[i] * c[i] + a[i] * s;
            }
        }
    }
    y
}
