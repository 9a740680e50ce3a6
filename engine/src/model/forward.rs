//! The training-style forward: whole documents at once.

use super::attention::packed_attention;
use super::cat::cat;
use super::fused::Fused;
use super::packed::{Packed, Target};
use super::rope::Rope;
use super::vist2::Vist2;
use crate::config::PageEncoder;
use burn::tensor::{Int, Tensor, TensorData, activation, backend::Backend};

/// What a forward over packed documents gives.
#[derive(Debug, Clone)]
pub struct Hidden<B: Backend> {
    /// Final hidden states after the last norm, `[D × S, d]`.
    pub rows: Tensor<B, 2>,
    /// Visual tokens as the decoder took them, `[pages × slots, d]`.
    pub visual: Option<Tensor<B, 2>>,
}

impl<B: Backend> Hidden<B> {
    /// The rows that predict `targets`, `[targets, d]`.
    pub fn predictors(&self, targets: &[Target]) -> Tensor<B, 2> {
        let rows: Vec<i32> = targets.iter().map(|t| t.row as i32).collect();
        let n = rows.len();
        let index = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [n]), &self.rows.device());
        self.rows.clone().select(0, index)
    }
}

impl<B: Fused> Vist2<B> {
    /// The visual tokens of all pages of a packed batch, padded, `[pages × slots, d]`.
    pub(super) fn visual_of(&self, packed: &Packed<B>) -> Option<Tensor<B, 2>> {
        let patches = packed.patches.clone()?;
        Some(if self.reads_by_sight() {
            self.visual_tokens(patches, &packed.page_lengths)
        } else {
            let most = patches.dims()[1];
            self.pooled_tokens(&packed.page_ids, &packed.page_lengths.lengths, most, packed.device())
        })
    }

    /// Whether the vision encoder reads pages.
    pub(super) fn reads_by_sight(&self) -> bool {
        let fold = self.config.fold.as_ref();
        fold.is_none_or(|fold| fold.page_encoder == PageEncoder::Vision)
    }

    /// The decoder's input, `[D × S, d]`: text tokens embedded, visual tokens as they are.
    pub(super) fn embedded(&self, packed: &Packed<B>, visual: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
        let embed = &self.language_model.model.embed_tokens;
        let text = embed.forward(packed.text_ids.clone());
        let table = match visual {
            Some(visual) => cat(vec![text, visual], 0),
            None => text,
        };
        table.select(0, packed.gather.clone())
    }

    /// The rotations of every row.
    pub(super) fn rope(&self, packed: &Packed<B>) -> Rope<B> {
        let c = &self.config.text;
        Rope::new(&packed.positions, c.head_dim, c.rope_theta, packed.device())
    }

    /// Only the visual tokens of a packed batch: the decoder does not run, and `rows` has no rows.
    pub fn encode_packed(&self, packed: &Packed<B>) -> Hidden<B> {
        let visual = self.visual_of(packed);
        Hidden {
            rows: Tensor::zeros([0, self.config.text.hidden_size], packed.device()),
            visual,
        }
    }

    /// Runs the decoder over a packed batch, encoding its pages first.
    pub fn forward(&self, packed: &Packed<B>) -> Hidden<B> {
        let decoder = &self.language_model.model;
        let visual = self.visual_of(packed);
        let mut x = self.embedded(packed, visual.clone());
        let rope = self.rope(packed);
        for layer in &decoder.layers {
            x = layer.forward(x, &rope, |qkv| packed_attention(qkv, packed));
        }
        Hidden {
            rows: decoder.norm.forward(x),
            visual,
        }
    }

    /// Negative log-likelihood (nats) of each target, in order, `[targets]`.
    pub fn nll(&self, hidden: &Hidden<B>, targets: &[Target]) -> Tensor<B, 1> {
        let logits = self.logits(hidden.predictors(targets));
        let ids: Vec<i32> = targets.iter().map(|t| t.id as i32).collect();
        let n = ids.len();
        let index = Tensor::<B, 2, Int>::from_data(TensorData::new(ids, [n, 1]), &logits.device());
        activation::log_softmax(logits, 1).gather(1, index).neg().reshape([n])
    }
}
