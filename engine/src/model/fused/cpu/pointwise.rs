//! Norms, activations and rotation, with their gradients.

use super::WORTH_SHARING;
use super::flash_loops::dot;
use super::math::{sigmoid, tanh};
use super::wide::{Loop, wide};
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

/// Rows of `x` normalised, times `w`; and the inverse root mean square of every row.
pub(in super::super) fn rms_norm(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let d = w.len();
    let (mut y, mut inverse) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len() / d));
    for row in x.chunks_exact(d) {
        let r = 1.0 / (dot(row, row) / d as f32 + eps).sqrt();
        inverse.push(r);
        y.extend(row.iter().zip(w).map(|(x, w)| x * r * w));
    }
    (y, inverse)
}

/// Gradients of [`rms_norm`] for `x` and `w`.
#[cfg(feature = "train")]
pub(in super::super) fn rms_norm_backward(x: &[f32], w: &[f32], inverse: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let d = w.len();
    let (mut dx, mut dw) = (Vec::with_capacity(x.len()), vec![0f32; d]);
    let mut wdy = vec![0f32; d];
    for ((x, dy), &r) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(inverse) {
        for i in 0..d {
            wdy[i] = w[i] * dy[i];
            dw[i] += dy[i] * x[i] * r;
        }
        let c = dot(&wdy, x) * r * r * r / d as f32;
        dx.extend(wdy.iter().zip(x).map(|(g, x)| g * r - x * c));
    }
    (dx, dw)
}

/// `silu(gate) · up`.
pub(in super::super) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&g, u)| g * sigmoid(g) * u).collect()
}

/// Gradients of [`swiglu`] for `gate` and `up`.
#[cfg(feature = "train")]
pub(in super::super) fn swiglu_backward(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let n = gate.len();
    let (up, dy) = (&up[..n], &dy[..n]);
    let (mut dg, mut du) = (vec![0f32; n], vec![0f32; n]);
    for i in 0..n {
        let s = sigmoid(gate[i]);
        let silu = gate[i] * s;
        dg[i] = dy[i] * up[i] * (s + silu * (1.0 - s));
        du[i] = dy[i] * silu;
    }
    (dg, du)
}

const GELU_SCALE: f32 = 0.797_884_6; // sqrt(2 / π)
const GELU_CUBIC: f32 = 0.044_715;

/// GELU, tanh form.
pub(in super::super) fn gelu_tanh(x: &[f32]) -> Vec<f32> {
    x.iter()
        .map(|&x| 0.5 * x * (1.0 + tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x))))
        .collect()
}

/// Gradient of [`gelu_tanh`].
#[cfg(feature = "train")]
pub(in super::super) fn gelu_tanh_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    x.iter()
        .zip(dy)
        .map(|(&x, dy)| {
            let t = tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x));
            let slope = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * x * x);
            dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
        })
        .collect()
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
