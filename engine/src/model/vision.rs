//! The vision encoder: a pre-LN ViT without a pooling head (SigLIP2's, on rectangular patches).

use super::fused::{Fused, PageLengths, unwrap, wrap};
use super::linear::{Embedding, Linear};
use super::norm::LayerNorm;
use crate::cost::meter;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};
use std::sync::Arc;

/// `vision_tower`.
#[derive(Module, Debug)]
pub struct VisionTower<B: Backend> {
    /// The encoder proper.
    pub vision_model: VisionModel<B>,
}

/// `vision_tower.vision_model`.
#[derive(Module, Debug)]
pub struct VisionModel<B: Backend> {
    /// Patches to vectors.
    pub embeddings: VisionEmbeddings<B>,
    /// The blocks.
    pub encoder: VisionEncoder<B>,
    /// The final norm.
    pub post_layernorm: LayerNorm<B>,
}

/// Patch and position embedding.
#[derive(Module, Debug)]
pub struct VisionEmbeddings<B: Backend> {
    /// Linear over (channel, row, column)-flattened pixels.
    pub patch_embedding: PatchEmbedding<B>,
    /// Learned, in raster order, `[patches, d]`.
    pub position_embedding: Embedding<B>,
}

/// The patch embedding, stored as a convolution's weight.
#[derive(Module, Debug)]
pub struct PatchEmbedding<B: Backend> {
    /// `[d, channels, patch_height, patch_width]`.
    pub weight: Param<Tensor<B, 4>>,
    /// `[d]`.
    pub bias: Param<Tensor<B, 1>>,
}

/// The stack of blocks.
#[derive(Module, Debug)]
pub struct VisionEncoder<B: Backend> {
    /// Blocks in order.
    pub layers: Vec<VisionLayer<B>>,
}

/// `x += attn(ln1 x); x += mlp(ln2 x)`.
#[derive(Module, Debug)]
pub struct VisionLayer<B: Backend> {
    /// Before attention.
    pub layer_norm1: LayerNorm<B>,
    /// Bidirectional attention over one page.
    pub self_attn: VisionAttention<B>,
    /// Before the MLP.
    pub layer_norm2: LayerNorm<B>,
    /// Two linears with tanh-GELU.
    pub mlp: VisionMlp<B>,
}

/// Multi-head attention with biases.
#[derive(Module, Debug)]
pub struct VisionAttention<B: Backend> {
    /// Queries.
    pub q_proj: Linear<B>,
    /// Keys.
    pub k_proj: Linear<B>,
    /// Values.
    pub v_proj: Linear<B>,
    /// Output.
    pub out_proj: Linear<B>,
    #[module(skip)]
    pub(super) heads: usize,
}

/// The MLP.
#[derive(Module, Debug)]
pub struct VisionMlp<B: Backend> {
    /// Up.
    pub fc1: Linear<B>,
    /// Down.
    pub fc2: Linear<B>,
}

impl<B: Fused> VisionModel<B> {
    /// Encodes pages that show their first `slots` patches each (the others are blank and skipped).
    ///
    /// `patches`: `[pages, slots, patch_len]`; `lengths`: how many of a page's slots are its own, the others are padding
    /// that its own do not see. Gives `[pages, slots, d]`.
    pub fn forward(&self, patches: Tensor<B, 3>, lengths: &Arc<PageLengths>) -> Tensor<B, 3> {
        let [pages, slots, _] = patches.dims();
        let mut x = self.embed(patches);
        for layer in &self.encoder.layers {
            x = layer.forward(x, lengths);
        }
        let d = x.dims()[1];
        self.post_layernorm.forward(x).reshape([pages, slots, d])
    }

    /// Patches with their positions, before the first block: `[pages, slots, patch_len]` to `[pages × slots, d]`.
    pub(super) fn embed(&self, patches: Tensor<B, 3>) -> Tensor<B, 2> {
        let [pages, slots, patch_len] = patches.dims();
        let weight = self.embeddings.patch_embedding.weight.val();
        let d = weight.dims()[0];
        meter::count(2 * (pages * slots * patch_len * d) as u64);
        let patches: Tensor<B, 2> = patches.reshape([pages * slots, patch_len]);
        let weight: Tensor<B, 2> = weight.reshape([d, patch_len]);
        let bias = self.embeddings.patch_embedding.bias.val();
        let x: Tensor<B, 2> = wrap(<B as Fused>::linear(
            unwrap(patches),
            unwrap(weight),
            Some(unwrap(bias)),
        ));
        let position = self.embeddings.position_embedding.weight.val().narrow(0, 0, slots);
        (x.reshape([pages, slots, d]) + position.unsqueeze()).reshape([pages * slots, d])
    }
}

impl<B: Fused> VisionLayer<B> {
    /// The block on `x`, `[pages × slots, d]`.
    pub(super) fn forward(&self, x: Tensor<B, 2>, lengths: &Arc<PageLengths>) -> Tensor<B, 2> {
        let x = x.clone() + self.self_attn.forward(self.layer_norm1.forward(x), lengths);
        let hidden = self.mlp.fc1.forward(self.layer_norm2.forward(x.clone()));
        let hidden = wrap(B::gelu_tanh(unwrap(hidden)));
        x + self.mlp.fc2.forward(hidden)
    }
}

impl<B: Fused> VisionAttention<B> {
    fn forward(&self, x: Tensor<B, 2>, lengths: &Arc<PageLengths>) -> Tensor<B, 2> {
        // Scores and mixing, of a page's own slots.
        let squares: usize = lengths.lengths.iter().map(|n| n * n).sum();
        meter::count(4 * (squares * x.dims()[1]) as u64);
        let q = self.q_proj.forward(x.clone());
        let k = self.k_proj.forward(x.clone());
        let v = self.v_proj.forward(x);
        let dtype = self.v_proj.weight.val().dtype().into();
        let out = B::page_attention([q, k, v].map(unwrap), self.heads, lengths, dtype);
        self.out_proj.forward(wrap(out))
    }
}
