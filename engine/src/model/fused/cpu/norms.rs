//! RMSNorm and LayerNorm over rows, with their gradients.

use super::flash_loops::dot;
use super::wide::wide_fn;

wide_fn! {
    /// Rows of `x` normalised, times `w`; and the inverse root mean square of every row.
    pub(in super::super) fn rms_norm(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
        let d = w.len();
        let (mut y, mut inverse) = (x.to_vec(), Vec::with_capacity(x.len() / d));
        for row in y.chunks_exact_mut(d) {
            let r = 1.0 / (dot(row, row) / d as f32 + eps).sqrt();
            inverse.push(r);
            for (y, w) in row.iter_mut().zip(w) {
                *y *= r * w;
            }
        }
        (y, inverse)
    }
}

#[cfg(feature = "train")]
wide_fn! {
    /// Gradients of [`rms_norm`] for `x` and `w`.
    pub(in super::super) fn rms_norm_backward(
        x: &[f32],
        w: &[f32],
        inverse: &[f32],
        dy: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let d = w.len();
        let (mut dx, mut dw) = (dy.to_vec(), vec![0f32; d]);
        for ((x, dx), &r) in x.chunks_exact(d).zip(dx.chunks_exact_mut(d)).zip(inverse) {
            let (x, dw) = (&x[..d], &mut dw[..d]);
            for i in 0..d {
                dw[i] += dx[i] * x[i] * r;
                dx[i] *= w[i];
            }
            let c = dot(dx, x) * r * r * r / d as f32;
            for i in 0..d {
                dx[i] = dx[i] * r - x[i] * c;
            }
        }
        (dx, dw)
    }
}

#[inline(always)]
fn mean(row: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += chunk[i];
        }
    }
    (sums.iter().sum::<f32>() + rest) / row.len() as f32
}

wide_fn! {
    /// Rows of `x` with mean 0 and variance 1, times `w`, plus `b`; and every row's mean and inverse deviation.
    pub(in super::super) fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32) -> (Vec<f32>, Vec<[f32; 2]>) {
        let d = w.len();
        let (mut y, mut moments) = (x.to_vec(), Vec::with_capacity(x.len() / d));
        for row in y.chunks_exact_mut(d) {
            let m = mean(row);
            for y in row.iter_mut() {
                *y -= m;
            }
            let r = 1.0 / (dot(row, row) / d as f32 + eps).sqrt();
            moments.push([m, r]);
            for ((y, w), b) in row.iter_mut().zip(w).zip(b) {
                *y = *y * r * w + b;
            }
        }
        (y, moments)
    }
}

#[cfg(feature = "train")]
wide_fn! {
    /// Gradients of [`layer_norm`] for `x`, `w` and `b`.
    pub(in super::super) fn layer_norm_backward(
        x: &[f32],
        w: &[f32],
        moments: &[[f32; 2]],
        dy: &[f32],
    ) -> [Vec<f32>; 3] {
        let d = w.len();
        let (mut dx, mut dw, mut db) = (dy.to_vec(), vec![0f32; d], vec![0f32; d]);
        let mut unit = vec![0f32; d];
        for ((x, dx), &[m, r]) in x.chunks_exact(d).zip(dx.chunks_exact_mut(d)).zip(moments) {
            let (x, dw, db, unit) = (&x[..d], &mut dw[..d], &mut db[..d], &mut unit[..d]);
            for i in 0..d {
                unit[i] = (x[i] - m) * r;
                dw[i] += dx[i] * unit[i];
                db[i] += dx[i];
                dx[i] *= w[i];
            }
            let (shift, slope) = (mean(dx), dot(dx, unit) / d as f32);
            for i in 0..d {
                dx[i] = (dx[i] - shift - unit[i] * slope) * r;
            }
        }
        [dx, dw, db]
    }
}
