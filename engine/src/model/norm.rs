//! RMSNorm and LayerNorm.

use super::fused::{Fused, unwrap, wrap};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Root-mean-square norm over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// `[width]`.
    pub weight: Param<Tensor<B, 1>>,
    #[module(skip)]
    eps: f64,
}

impl<B: Backend> RmsNorm<B> {
    /// A norm with this weight.
    pub fn new(weight: Param<Tensor<B, 1>>, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// Normalises the last dimension of `x`.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D>
    where
        B: Fused,
    {
        let shape = x.dims();
        let width = shape[D - 1];
        let rows: Tensor<B, 2> = x.reshape([shape.iter().product::<usize>() / width, width]);
        wrap::<B, 2>(B::rms_norm(unwrap(rows), unwrap(self.weight.val()), self.eps)).reshape(shape)
    }
}

/// Layer norm over the last dimension.
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// `[width]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[width]`.
    pub bias: Param<Tensor<B, 1>>,
    #[module(skip)]
    eps: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// A norm with this weight and bias.
    pub fn new(weight: Param<Tensor<B, 1>>, bias: Param<Tensor<B, 1>>, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Normalises the last dimension of `x`.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D>
    where
        B: Fused,
    {
        let shape = x.dims();
        let width = shape[D - 1];
        let rows: Tensor<B, 2> = x.reshape([shape.iter().product::<usize>() / width, width]);
        let (weight, bias) = (unwrap(self.weight.val()), unwrap(self.bias.val()));
        wrap::<B, 2>(<B as Fused>::layer_norm(unwrap(rows), weight, bias, self.eps)).reshape(shape)
    }
}
