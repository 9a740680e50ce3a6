//! Linear head and cross-entropy in one, a block of rows at a time: the full `[tokens, vocab]` logits never exist.
//!
//! The gradient of softmax cross-entropy is known in closed form, so it is computed outside of the autodiff graph and
//! fed back by a surrogate `Σ h·dh + Σ W·dW`, whose gradient with respect to `h` and `W` is exactly `dh` and `dW`.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation, backend::AutodiffBackend, backend::Backend};

/// Rows per block.
const BLOCK: usize = 1024;

/// A weighted set of right answers: `(row, class, weight)`; the loss is `Σ weight · −log p(class | row)`.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Row of each answer.
    pub rows: Vec<usize>,
    /// Its class.
    pub classes: Vec<usize>,
    /// Its weight.
    pub weights: Vec<f32>,
}

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
///
/// Answers are ordered by row.
pub fn linear_ce<B: AutodiffBackend>(
    hidden: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    answers: &Answers,
    detach_weight: bool,
) -> LinearCe<B> {
    let (h, w) = (hidden.clone().inner(), weight.clone().inner());
    let device = h.device();
    let [n, _] = h.dims();
    let mut d_hidden = Vec::new();
    let mut d_weight: Option<Tensor<B::InnerBackend, 2>> = None;
    let mut nll = Vec::with_capacity(answers.rows.len());
    let mut value = 0.0;
    let mut at = 0;
    for start in (0..n).step_by(BLOCK) {
        let rows = BLOCK.min(n - start);
        let end = at + answers.rows[at..].partition_point(|&r| r < start + rows);
        let block = h.clone().narrow(0, start, rows);
        let p = activation::softmax(block.clone().matmul(w.clone().transpose()), 1);
        let classes = p.dims()[1];
        // Flat indices of the answers' probabilities, and the weight of every row.
        let flat: Vec<i32> = (at..end)
            .map(|i| ((answers.rows[i] - start) * classes + answers.classes[i]) as i32)
            .collect();
        let weights = &answers.weights[at..end];
        let mut row_weight = vec![0f32; rows];
        for i in at..end {
            row_weight[answers.rows[i] - start] += answers.weights[i];
        }
        let count = flat.len();
        let flat = Tensor::<B::InnerBackend, 1, Int>::from_data(TensorData::new(flat, [count]), &device);
        let picked = p.clone().reshape([rows * classes]).select(0, flat.clone());
        let picked = picked
            .into_data()
            .convert::<f32>()
            .into_vec::<f32>()
            .unwrap_or_default();
        for (p, w) in picked.iter().zip(weights) {
            let loss = -(p.max(1e-30)).ln();
            value += f64::from(loss * w);
            nll.push(loss);
        }
        let minus: Vec<f32> = weights.iter().map(|w| -w).collect();
        let minus = Tensor::<B::InnerBackend, 1>::from_data(TensorData::new(minus, [count]), &device);
        let row_weight = Tensor::<B::InnerBackend, 2>::from_data(TensorData::new(row_weight, [rows, 1]), &device);
        let d_logits = (p * row_weight)
            .reshape([rows * classes])
            .select_assign(0, flat, minus, IndexingUpdateOp::Add)
            .reshape([rows, classes]);
        d_hidden.push(d_logits.clone().matmul(w.clone()));
        if !detach_weight {
            let part = d_logits.transpose().matmul(block);
            d_weight = Some(match d_weight {
                Some(sum) => sum + part,
                None => part,
            });
        }
        at = end;
    }
    let mut surrogate = (hidden * Tensor::from_inner(Tensor::cat(d_hidden, 0))).sum();
    if let Some(d_weight) = d_weight {
        surrogate = surrogate + (weight * Tensor::from_inner(d_weight)).sum();
    }
    LinearCe { value, nll, surrogate }
}
