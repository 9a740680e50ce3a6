//! Linear layers and embedding tables, weights stored `[out, in]` as in the checkpoint.

use super::fused::{Fused, unwrap, wrap};
use crate::cost::meter;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, backend::Backend};

/// `y = x Wᵀ + b`.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`: transposed as a view, which reads faster on the CPU than a stored transpose.
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Fused> Linear<B> {
    /// `[n, in]` to `[n, out]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let ([n, inputs], outputs) = (x.dims(), self.weight.dims()[0]);
        meter::count(2 * (n * inputs * outputs) as u64);
        let y: Tensor<B, 2> = wrap(<B as Fused>::linear(unwrap(x), unwrap(self.weight.val())));
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding<B: Backend> {
    /// `[rows, width]`.
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> Embedding<B> {
    /// Rows `ids`, `[n]`, as `[n, width]`.
    pub fn forward(&self, ids: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        self.weight.val().select(0, ids)
    }
}
