//! The aligner: encoder outputs to visual tokens in the decoder's embedding space (spec section 2).

use super::fused::Fused;
use super::linear::Linear;
use crate::config::AlignerKind;
use crate::cost::meter;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, backend::Backend};

/// One of the three kinds; the fields that the kind does not use are `None`.
#[derive(Module, Debug)]
pub struct Aligner<B: Backend> {
    /// `[d_text, d_vision]` (tanh, linear).
    pub weight: Option<Param<Tensor<B, 2>>>,
    /// `[d_text]` (tanh, linear).
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// `[1]` (tanh).
    pub scale: Option<Param<Tensor<B, 1>>>,
    /// Vision to hidden (mlp).
    pub linear_1: Option<Linear<B>>,
    /// Hidden to text (mlp).
    pub linear_2: Option<Linear<B>>,
    #[module(skip)]
    pub(super) kind: AlignerKind,
}

impl<B: Fused> Aligner<B> {
    /// `[n, d_vision]` to `[n, d_text]`.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.kind {
            AlignerKind::Mlp => {
                let [one, two] = [&self.linear_1, &self.linear_2].map(|l| l.as_ref().expect("built with the kind"));
                two.forward(activation::gelu(one.forward(x)))
            }
            AlignerKind::Tanh | AlignerKind::Linear => {
                let weight = self.weight.as_ref().expect("built with the kind").val();
                let bias = self.bias.as_ref().expect("built with the kind").val();
                let ([n, inputs], outputs) = (x.dims(), weight.dims()[0]);
                meter::count(2 * (n * inputs * outputs) as u64);
                let y = x.matmul(weight.transpose()) + bias.unsqueeze();
                match &self.scale {
                    Some(scale) => y.tanh() * scale.val().unsqueeze(),
                    None => y,
                }
            }
        }
    }
}
