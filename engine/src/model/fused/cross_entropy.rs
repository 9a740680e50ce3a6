//! Cross-entropy with its gradient in closed form, in plain tensor operations.

use super::{Fused, unwrap, wrap};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation};

/// A weighted set of right answers: `(row, class, weight)`; the loss is `Σ weight · −log p(class | row)`. In order of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Row of each answer.
    pub rows: Vec<usize>,
    /// Its class.
    pub classes: Vec<usize>,
    /// Its weight.
    pub weights: Vec<f32>,
}

/// See [`Fused::cross_entropy`].
pub(super) fn cross_entropy<B: Fused>(logits: FloatTensor<B>, answers: &Answers) -> (Vec<f32>, FloatTensor<B>) {
    let logits = wrap::<B, 2>(logits);
    let ([n, classes], device, count) = (logits.dims(), logits.device(), answers.rows.len());
    if count == 0 {
        return (Vec::new(), unwrap(logits.zeros_like()));
    }
    let log_p = activation::log_softmax(logits, 1);
    // Flat indices of the answers' probabilities, and the weight of every row.
    let flat: Vec<i32> = answers
        .rows
        .iter()
        .zip(&answers.classes)
        .map(|(row, class)| (row * classes + class) as i32)
        .collect();
    let mut row_weight = vec![0f32; n];
    for (&row, weight) in answers.rows.iter().zip(&answers.weights) {
        row_weight[row] += weight;
    }
    let floats = |values: Vec<f32>| {
        let n = values.len();
        Tensor::<B, 1>::from_data(TensorData::new(values, [n]), &device)
    };
    let flat = Tensor::<B, 1, Int>::from_data(TensorData::new(flat, [count]), &device);
    let picked = log_p.clone().reshape([n * classes]).select(0, flat.clone());
    let picked = picked.into_data().convert::<f32>().into_vec::<f32>();
    let nll = picked.unwrap_or_default().into_iter().map(|x| -x).collect();
    let minus = floats(answers.weights.iter().map(|w| -w).collect());
    let gradient = (log_p.exp() * floats(row_weight).reshape([n, 1]))
        .reshape([n * classes])
        .select_assign(0, flat, minus, IndexingUpdateOp::Add)
        .reshape([n, classes]);
    (nll, unwrap(gradient))
}
