//! The loops of tiled attention.

use super::math::exp;
use super::wide::Loop;

/// Numbers taken together: a multiple of every vector length.
const LANES: usize = 16;

/// Sum of `a · b` over their common length.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Running sums side by side: a single one cannot be vectorised without changing the result.
    let mut sums = [0f32; LANES];
    let (a_wide, b_wide) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_wide
        .remainder()
        .iter()
        .zip(b_wide.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_wide.zip(b_wide) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    // Halves are added to each other: one after the other would wait for each sum.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0] + rest
}

/// `scores = q kᵀ`: `q`, `[rows, dim]`, `k`, `[keys, dim]`.
pub(super) struct Scores<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub dim: usize,
    /// `[rows, stride]`, of which the first keys are written.
    pub scores: &'a mut [f32],
    pub stride: usize,
}

impl Loop for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (j, key) in self.k.chunks_exact(self.dim).enumerate() {
            for (row, query) in self.q.chunks_exact(self.dim).enumerate() {
                self.scores[row * self.stride + j] = dot(query, key);
            }
        }
    }
}

/// `out += scores · v`: `v`, `[keys, dim]`.
pub(super) struct Values<'a> {
    /// `[rows, stride]`, of which the first keys are read.
    pub scores: &'a [f32],
    pub stride: usize,
    pub v: &'a [f32],
    pub dim: usize,
    pub out: &'a mut [f32],
}

impl Loop for Values<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Four keys a pass: the outputs are read and written a quarter as often.
        const KEYS: usize = 4;
        let (d, width) = (self.dim, self.v.len() / self.dim);
        let whole = width / KEYS * KEYS;
        for j in (0..whole).step_by(KEYS) {
            let v = &self.v[j * d..(j + KEYS) * d];
            let (v0, v1, v2, v3) = (&v[..d], &v[d..2 * d], &v[2 * d..3 * d], &v[3 * d..]);
            for (out, scores) in self.out.chunks_exact_mut(d).zip(self.scores.chunks(self.stride)) {
                let s = &scores[j..j + KEYS];
                for i in 0..d {
                    out[i] += s[0] * v0[i] + s[1] * v1[i] + s[2] * v2[i] + s[3] * v3[i];
                }
            }
        }
        for j in whole..width {
            let v = &self.v[j * d..(j + 1) * d];
            for (out, scores) in self.out.chunks_exact_mut(d).zip(self.scores.chunks(self.stride)) {
                for i in 0..d {
                    out[i] += scores[j] * v[i];
                }
            }
        }
    }
}

/// One step of a running softmax: scores, `[rows, width]`, become weights relative to the new maximum, and what was
/// summed before is scaled to it.
pub(super) struct Softmax<'a, S> {
    pub scores: &'a mut [f32],
    pub width: usize,
    /// Keys of this tile that a row sees.
    pub seen: S,
    pub most: &'a mut [f32],
    pub sum: &'a mut [f32],
    /// `[rows, dim]`.
    pub out: &'a mut [f32],
    pub dim: usize,
}

impl<S: Fn(usize) -> usize> Loop for Softmax<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (row, scores) in self.scores.chunks_exact_mut(self.width).enumerate() {
            let (seen, hidden) = scores.split_at_mut((self.seen)(row));
            hidden.fill(0.0);
            if seen.is_empty() {
                continue;
            }
            let most = larger(self.most[row], maximum(seen));
            let scale = exp(self.most[row] - most);
            if scale != 1.0 {
                for x in &mut self.out[row * self.dim..(row + 1) * self.dim] {
                    *x *= scale;
                }
            }
            self.most[row] = most;
            self.sum[row] = self.sum[row] * scale + exponentials(seen, most);
        }
    }
}

/// The larger one, which is one instruction in this form (`f32::max` is not).
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
pub(super) fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

/// `x` becomes `e^(x - most)`; gives the sum.
#[inline(always)]
pub(super) fn exponentials(x: &mut [f32], most: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let mut chunks = x.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - most);
            lanes[i] += chunk[i];
        }
    }
    let mut sum = 0.0;
    for x in chunks.into_remainder() {
        *x = exp(*x - most);
        sum += *x;
    }
    lanes.iter().sum::<f32>() + sum
}
