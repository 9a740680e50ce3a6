//! Auxiliary losses on the visual tokens: they make pages legible before the decoder has learnt to look
//! (spec section 5, "measured hints").

use crate::linear_ce::{Answers, linear_ce};
use burn::module::{Module, Param};
use burn::tensor::{Distribution, Int, Tensor, TensorData, activation, backend::AutodiffBackend, backend::Backend};

/// Classes of a cell: blank, 95 printable ASCII characters, the newline mark, anything else.
pub const CELL_CLASSES: usize = 98;

/// A linear head that names the character in every cell of a patch from its visual token. Only training has it.
#[derive(Module, Debug)]
pub struct CellHead<B: Backend> {
    /// `[cells × CELL_CLASSES, d]`.
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> CellHead<B> {
    /// A fresh head for patches of `cells` cells. Seed the backend before for a reproducible one.
    pub fn new(cells: usize, hidden_size: usize, device: &B::Device) -> Self {
        let shape = [cells * CELL_CLASSES, hidden_size];
        Self {
            weight: Param::from_tensor(Tensor::random(shape, Distribution::Normal(0.0, 0.02), device)),
        }
    }

    /// Mean cross-entropy (nats a cell) of `classes` (`rows × cells` class ids) given visual tokens `[rows, d]`.
    pub fn loss(&self, visual: Tensor<B, 2>, classes: &[u8]) -> Tensor<B, 1> {
        // The aligner works at the scale of token embeddings (about 0.02); the head reads at unit scale.
        let scale = visual.clone().square().mean_dim(1).add_scalar(1e-8).sqrt();
        let logits = (visual / scale).matmul(self.weight.val().transpose());
        let n = classes.len();
        let log_p = activation::log_softmax(logits.reshape([n, CELL_CLASSES]), 1);
        let ids: Vec<i32> = classes.iter().map(|&c| i32::from(c)).collect();
        let ids = Tensor::<B, 2, Int>::from_data(TensorData::new(ids, [n, 1]), &log_p.device());
        log_p.gather(1, ids).mean().neg()
    }
}

/// Mean cross-entropy of the tokens that stand in each patch, read off its visual token by the (detached) token
/// embedding: it puts visual tokens into the space that the decoder already reads. Gives value and surrogate.
pub fn token_loss<B: AutodiffBackend>(
    visual: Tensor<B, 2>,
    embedding: Tensor<B, 2>,
    tokens: &[Vec<u32>],
) -> (f64, Tensor<B, 1>) {
    let mut answers = Answers::default();
    let rows = tokens.iter().filter(|t| !t.is_empty()).count().max(1) as f32;
    for (row, ids) in tokens.iter().enumerate() {
        for &id in ids {
            answers.rows.push(row);
            answers.classes.push(id as usize);
            answers.weights.push(1.0 / (rows * ids.len() as f32));
        }
    }
    let ce = linear_ce(visual, embedding, &answers, true);
    (ce.value, ce.surrogate)
}
