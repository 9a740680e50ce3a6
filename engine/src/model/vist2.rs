//! The whole model.

use super::aligner::Aligner;
use super::decoder::LanguageModel;
use super::fused::{Fused, PageLengths, unwrap, wrap};
use super::page_encoder::ConvPyramid;
use super::vision::VisionTower;
use crate::config::Config;
use crate::cost::meter;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use std::sync::Arc;

/// Decoder, vision encoder and aligner (spec section 2). Without the last two it is a text-only model.
#[derive(Module, Debug)]
pub struct Vist2<B: Backend> {
    /// The decoder.
    pub language_model: LanguageModel<B>,
    /// The vision encoder.
    pub vision_tower: Option<VisionTower<B>>,
    /// What stands for the vision encoder in `conv_pyramid` models.
    pub page_encoder: Option<ConvPyramid<B>>,
    /// The aligner.
    pub aligner: Option<Aligner<B>>,
    /// The configuration that shaped it.
    #[module(skip)]
    pub config: Config,
}

impl<B: Fused> Vist2<B> {
    /// The head's weight, `[vocab, d]`: the embedding table when tied.
    pub fn head(&self) -> Tensor<B, 2> {
        match &self.language_model.lm_head {
            Some(head) => head.weight.val(),
            None => self.language_model.model.embed_tokens.weight.val(),
        }
    }

    /// Logits `[n, vocab]` of final hidden states `[n, d]` (already normed).
    pub fn logits(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        let (head, [n, d]) = (self.head(), hidden.dims());
        meter::count(2 * (n * d * head.dims()[0]) as u64);
        wrap(<B as Fused>::linear(unwrap(hidden), unwrap(head), None))
    }

    /// Visual tokens of pages: patches `[pages, slots, patch_len]` to `[pages × slots, d_text]`.
    ///
    /// `lengths` as in the encoder's forward: it hides the padding of pages shorter than `slots`.
    ///
    /// # Panics
    /// On a text-only model.
    pub fn visual_tokens(&self, patches: Tensor<B, 3>, lengths: &Arc<PageLengths>) -> Tensor<B, 2> {
        let (Some(vision), Some(aligner)) = (&self.vision_tower, &self.aligner) else {
            panic!("a text-only model has no vision tower");
        };
        let encoded = vision.vision_model.forward(patches, lengths);
        let [pages, slots, d] = encoded.dims();
        aligner.forward(encoded.reshape([pages * slots, d]))
    }

    /// Visual tokens, `[n, d_text]`, of what the encoder's last block gave, `[n, d_vision]`.
    #[cfg(feature = "train")]
    pub(super) fn aligned(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let (Some(vision), Some(aligner)) = (&self.vision_tower, &self.aligner) else {
            panic!("a text-only model has no vision tower");
        };
        aligner.forward(vision.vision_model.post_layernorm.forward(x))
    }
}
