//! Linear head and cross-entropy in one, a block of rows at a time: the full `[tokens, vocab]` logits never exist.
//!
//! The gradient of softmax cross-entropy is known in closed form, so it is computed outside of the autodiff graph and
//! fed back by a surrogate `Σ h·dh + Σ W·dW`, whose gradient with respect to `h` and `W` is exactly `dh` and `dW`.

use burn::tensor::{FloatDType, Tensor, TensorPrimitive, backend::AutodiffBackend, backend::Backend};
use folio_engine::model::Fused;

pub use folio_engine::model::Answers;

/// Rows per block.
const BLOCK: usize = 1024;

/// The loss's value and a surrogate to add to what `backward` is called on.
pub struct LinearCe<B: Backend> {
    /// `Σ weight · −log p`.
    pub value: f64,
    /// Unweighted `−log p` of each answer, in order.
    pub nll: Vec<f32>,
    /// A scalar whose gradient is the loss's.
    pub surrogate: Tensor<B, 1>,
}

/// Cross-entropy of `hidden`, `[n, d]`, through `weight`, `[classes, d]`. With `detach_weight` only `hidden` learns.
/// Products are computed in `dtype`.
///
/// Answers are ordered by row. Without any row the loss is 0.
pub fn linear_ce<B: AutodiffBackend>(
    hidden: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    answers: &Answers,
    detach_weight: bool,
    dtype: FloatDType,
) -> LinearCe<B>
where
    B::InnerBackend: Fused,
{
    let (h, w) = (hidden.clone().inner(), weight.clone().inner());
    let matmul = |a: Tensor<B::InnerBackend, 2>, b: Tensor<B::InnerBackend, 2>| {
        let [a, b] = [a, b].map(|t| t.into_primitive().tensor());
        Tensor::<B::InnerBackend, 2>::from_primitive(TensorPrimitive::Float(B::InnerBackend::matmul_in(a, b, dtype)))
    };
    let [n, _] = h.dims();
    let mut d_hidden = Vec::new();
    let mut d_weight: Option<Tensor<B::InnerBackend, 2>> = None;
    let mut nll = Vec::with_capacity(answers.rows.len());
    let mut at = 0;
    for start in (0..n).step_by(BLOCK) {
        let rows = BLOCK.min(n - start);
        let end = at + answers.rows[at..].partition_point(|&r| r < start + rows);
        let block = h.clone().narrow(0, start, rows);
        let logits = matmul(block.clone(), w.clone().transpose());
        let of_block = Answers {
            rows: answers.rows[at..end].iter().map(|row| row - start).collect(),
            classes: answers.classes[at..end].to_vec(),
            weights: answers.weights[at..end].to_vec(),
        };
        let (of_block, d_logits) = cross_entropy(logits, &of_block);
        nll.extend(of_block);
        d_hidden.push(matmul(d_logits.clone(), w.clone()));
        if !detach_weight {
            let part = matmul(d_logits.transpose(), block);
            d_weight = Some(match d_weight {
                Some(sum) => sum + part,
                None => part,
            });
        }
        at = end;
    }
    if n == 0 {
        // Nothing to learn: 0, but of the graph, so that it can be added to other losses and gone back through.
        let surrogate = weight.sum().mul_scalar(0.0);
        return LinearCe {
            value: 0.0,
            nll,
            surrogate,
        };
    }
    let value = nll
        .iter()
        .zip(&answers.weights)
        .map(|(nll, w)| f64::from(nll * w))
        .sum();
    let mut surrogate = (hidden * Tensor::from_inner(Tensor::cat(d_hidden, 0))).sum();
    if let Some(d_weight) = d_weight {
        surrogate = surrogate + (weight * Tensor::from_inner(d_weight)).sum();
    }
    LinearCe { value, nll, surrogate }
}

/// `−log p` of every answer, and the gradient of their weighted sum for `logits`, `[n, classes]`.
pub(crate) fn cross_entropy<B: Fused>(logits: Tensor<B, 2>, answers: &Answers) -> (Vec<f32>, Tensor<B, 2>) {
    let (nll, gradient) = B::cross_entropy(logits.into_primitive().tensor(), answers);
    (nll, Tensor::from_primitive(TensorPrimitive::Float(gradient)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    #[test]
    fn nothing_to_learn_is_no_loss() {
        let device = Default::default();
        let weight = Tensor::<Autodiff<Flex>, 2>::ones([5, 3], &device).require_grad();
        let answers = Answers {
            rows: Vec::new(),
            classes: Vec::new(),
            weights: Vec::new(),
        };
        for detach_weight in [false, true] {
            let hidden = Tensor::<Autodiff<Flex>, 2>::zeros([0, 3], &device);
            let ce = linear_ce(hidden, weight.clone(), &answers, detach_weight, FloatDType::F32);
            assert_eq!((ce.value, ce.nll.len()), (0.0, 0));
            let gradients = ce.surrogate.backward();
            let gradient = weight
                .grad(&gradients)
                .map(|gradient| gradient.abs().sum().into_scalar());
            assert_eq!(gradient, Some(0.0));
        }
    }
}
