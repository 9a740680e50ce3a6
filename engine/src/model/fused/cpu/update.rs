//! The optimiser's loops: memory bounds them, so each reads and writes every number once.

use super::super::update::AdamW;
use super::wide::wide_fn;

wide_fn! {
    /// One step of AdamW, in place.
    pub(in super::super) fn adamw(
        parameter: &mut [f32],
        gradient: &[f32],
        moments: [&mut [f32]; 2],
        step: &AdamW,
    ) {
        let [c1, c2] = step.corrections().map(|c| (1.0 / c) as f32);
        let (b1, b2, scale) = (step.beta_1 as f32, step.beta_2 as f32, step.scale as f32);
        let (r1, r2) = ((1.0 - step.beta_1) as f32, (1.0 - step.beta_2) as f32);
        let (lr, epsilon, keep) = (step.lr as f32, step.epsilon as f32, (1.0 - step.lr * step.weight_decay) as f32);
        let n = parameter.len();
        let [first, second] = moments;
        let (p, g) = (&mut parameter[..n], &gradient[..n]);
        let (m, v) = (&mut first[..n], &mut second[..n]);
        for i in 0..n {
            let g = g[i] * scale;
            m[i] = m[i] * b1 + g * r1;
            v[i] = v[i] * b2 + g * g * r2;
            p[i] = p[i] * keep - lr * (m[i] * c1) / ((v[i] * c2).sqrt() + epsilon);
        }
    }
}

wide_fn! {
    /// `sum += term`.
    pub(in super::super) fn add(sum: &mut [f32], term: &[f32]) {
        for (x, y) in sum.iter_mut().zip(term) {
            *x += y;
        }
    }
}

wide_fn! {
    /// Sum of squares.
    pub(in super::super) fn squares(x: &[f32]) -> f64 {
        const LANES: usize = 8;
        let mut sums = [0f64; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        for chunk in chunks {
            for i in 0..LANES {
                sums[i] += f64::from(chunk[i]) * f64::from(chunk[i]);
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}
