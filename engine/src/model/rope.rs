//! Rotary position embedding, rotate-half form.

use super::fused::{Fused, unwrap, wrap};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Cosines and sines for a list of positions, `[n, 1, head_dim / 2]`.
#[derive(Debug, Clone)]
pub(super) struct Rope<B: Backend> {
    cos: Tensor<B, 3>,
    sin: Tensor<B, 3>,
}

impl<B: Fused> Rope<B> {
    /// Tables for `positions`. Angles are computed in f64: positions reach tens of thousands.
    pub(super) fn new(positions: &[usize], head_dim: usize, theta: f64, device: &B::Device) -> Self {
        let half = head_dim / 2;
        let inverse: Vec<f64> = (0..half).map(|i| theta.powf(-(i as f64) / half as f64)).collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = positions
                .iter()
                .flat_map(|&p| inverse.iter().map(move |w| f(p as f64 * w) as f32))
                .collect();
            Tensor::from_data(TensorData::new(values, [positions.len(), 1, half]), device)
        };
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
        }
    }

    /// Rotates `x`, `[n, heads, head_dim]`.
    pub(super) fn apply(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        wrap(B::rotate(unwrap(x), unwrap(self.cos.clone()), unwrap(self.sin.clone())))
    }
}
