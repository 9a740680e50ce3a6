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
        let bias = self.bias.as_ref().map(|bias| unwrap(bias.val()));
        wrap(<B as Fused>::linear(unwrap(x), unwrap(self.weight.val()), bias))
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding<B: Backend> {
    /// `[rows, width]`.
    pub weight: Param<Tensor<B, 2>>,
    /// Numbers of a row: a table of blocks does not tell.
    #[module(skip)]
    pub(super) width: usize,
}

impl<B: Fused> Embedding<B> {
    /// Rows `ids`, `[n]`, as `[n, width]`.
    pub fn forward(&self, ids: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        wrap(B::table_rows(
            unwrap(self.weight.val()),
            ids.into_primitive(),
            self.width,
        ))
    }
}

/// Several layers of one `x`, `[n, in]`: on the CPU the cores are woken once for all.
pub(super) fn together<B: Fused, const N: usize>(x: Tensor<B, 2>, layers: [&Linear<B>; N]) -> [Tensor<B, 2>; N] {
    let [n, inputs] = x.dims();
    let layers = layers.map(|layer| {
        meter::count(2 * (n * inputs * layer.weight.dims()[0]) as u64);
        let bias = layer.bias.as_ref().map(|bias| unwrap(bias.val()));
        (unwrap(layer.weight.val()), bias)
    });
    B::linears(unwrap(x), layers).map(wrap)
}
