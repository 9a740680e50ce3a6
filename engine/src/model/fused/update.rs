//! What an optimiser does to all of a model's weights, in plain tensor operations.

use super::{Fused, unwrap, wrap};
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Shape, TensorMetadata};

/// One step of AdamW on one parameter (Loshchilov & Hutter, "Decoupled weight decay regularization").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// What the gradient is multiplied by first (clipping).
    pub scale: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay, in units of the learning rate.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub time: usize,
}

impl AdamW {
    /// What the moments are divided by, for having begun at 0.
    pub(super) fn corrections(&self) -> [f64; 2] {
        let time = self.time as f64;
        [1.0 - self.beta_1.powf(time), 1.0 - self.beta_2.powf(time)]
    }
}

/// A tensor of any rank as a row.
fn row<B: Fused>(t: FloatTensor<B>) -> Tensor<B, 1> {
    let n = t.shape().num_elements();
    wrap::<B, 1>(B::float_reshape(t, Shape::new([n])))
}

fn like<B: Fused>(row: Tensor<B, 1>, shape: Shape) -> FloatTensor<B> {
    B::float_reshape(unwrap(row), shape)
}

/// See [`Fused::adamw`].
pub(super) fn adamw<B: Fused>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    moments: [FloatTensor<B>; 2],
    step: &AdamW,
) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
    let shape = parameter.shape();
    let gradient = row::<B>(gradient).mul_scalar(step.scale);
    let [first, second] = moments.map(row::<B>);
    let first = first.mul_scalar(step.beta_1) + gradient.clone().mul_scalar(1.0 - step.beta_1);
    let second = second.mul_scalar(step.beta_2) + gradient.square().mul_scalar(1.0 - step.beta_2);
    let [c1, c2] = step.corrections();
    let delta = first.clone().div_scalar(c1) / second.clone().div_scalar(c2).sqrt().add_scalar(step.epsilon);
    let kept = row::<B>(parameter).mul_scalar(1.0 - step.lr * step.weight_decay);
    let parameter = kept - delta.mul_scalar(step.lr);
    (
        like(parameter, shape.clone()),
        [like(first, shape.clone()), like(second, shape)],
    )
}

/// See [`Fused::squares`].
pub(super) fn squares<B: Fused>(tensors: &[FloatTensor<B>]) -> Vec<f64> {
    if tensors.is_empty() {
        return Vec::new();
    }
    // One transfer for all.
    let sums = tensors.iter().map(|t| row::<B>(t.clone()).square().sum()).collect();
    let sums = Tensor::cat(sums, 0).into_data().convert::<f64>();
    sums.into_vec().unwrap_or_default()
}

/// See [`Fused::sum`].
pub(super) fn sum<B: Fused>(terms: Vec<FloatTensor<B>>) -> Option<FloatTensor<B>> {
    terms.into_iter().reduce(|a, b| B::float_add(a, b))
}
