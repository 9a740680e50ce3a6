//! What the twins of `mat_vec.wgsl` and `mat_mul.wgsl` share: a linear layer, y = act(x Wᵀ + b) · scale, y += x Wᵀ, or
//! the gated form y = silu(x gateᵀ) · (x upᵀ).

use super::TwinError;
use super::buffers::Buffers;
use super::weights;
use crate::Form;

const WEIGHTS: usize = 0;
const X: usize = 1;
const BIAS: usize = 2;
const Y: usize = 3;

/// A layer and the part of it that a dispatch does.
pub(super) struct Linear {
    /// Rows of the matrix, of its gate half if it is gated.
    pub(super) rows: u32,
    /// Place of the first output in a row of y.
    pub(super) row0: u32,
    pub(super) k4: u32,
    pub(super) y_stride: u32,
    pub(super) scales: u32,
    pub(super) has_bias: u32,
    pub(super) accumulate: u32,
    pub(super) activation: u32,
    pub(super) out_scale: f32,
    /// Rows of the matrix and of x that the grid covers.
    pub(super) covered: (usize, usize),
}

impl Linear {
    pub(super) fn run(&self, b: &mut Buffers<'_, '_>) -> Result<(), TwinError> {
        let length = 4 * self.k4 as usize;
        let rows = self.rows as usize;
        let gated = Form::of(b.kernel) == Some(Form::Gated);
        for row in 0..rows.min(self.covered.0) {
            let weights = weights::row(b, WEIGHTS, self.scales, row, length)?;
            let up = if gated {
                Some(weights::row(b, WEIGHTS, self.scales, rows + row, length)?)
            } else {
                None
            };
            let place = self.row0 as usize + row;
            for token in 0..self.covered.1 {
                let x = b.floats(X, token * length, length)?;
                let at = token * self.y_stride as usize + place;
                let mut value = dot(&weights, x);
                if let Some(up) = &up {
                    value = silu(value) * dot(up, x);
                } else {
                    if self.has_bias != 0 {
                        value += b.float(BIAS, place)?;
                    }
                    value = self.out_scale * activate(b, value, self.activation)?;
                    if self.accumulate != 0 {
                        value += b.float(Y, at)?;
                    }
                }
                b.set_float(Y, at, value)?;
            }
        }
        Ok(())
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// The activations by the numbers of `shared/activation.wgsl`.
fn activate(b: &Buffers<'_, '_>, x: f32, kind: u32) -> Result<f32, TwinError> {
    let x = f64::from(x);
    let y = match kind {
        0 => x,
        1 => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        2 => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        3 => x.tanh(),
        _ => return Err(b.unfit("an activation that is not in shared/activation.wgsl")),
    };
    Ok(y as f32)
}

/// The error function to about 1e-9 by its Taylor series; beyond 4 it is ±1 to 2e-8.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    // Σ (-1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1)): alternating, largest term about e^16 / 40 at |x| = 4, so 1e-10 is left of f64.
    let mut power = x;
    let mut sum = x;
    for n in 1..100 {
        power *= -x * x / f64::from(n);
        sum += power / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_at_tabled_points() {
        // Abramowitz and Stegun, table 7.1, and erf(3.5).
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
            (3.5, 0.999_999_256_9),
            (5.0, 1.0),
        ] {
            assert!((erf(x) - y).abs() < 1e-9, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + y).abs() < 1e-9, "erf(-{x}) = {}", erf(-x));
        }
    }
}
