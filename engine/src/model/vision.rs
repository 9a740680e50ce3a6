//! The vision encoder: a pre-LN ViT without a pooling head (SigLIP2's, on rectangular patches).

use super::fused::{Fused, unwrap, wrap};
use super::linear::{Embedding, Linear};
use super::norm::LayerNorm;
use crate::cost::meter;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, backend::Backend};

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
    /// `patches`: `[pages, slots, patch_len]`; `key_bias`: `[pages, 1, 1, slots]` with a large negative number on the
    /// padding of shorter pages, or `None` when all have `slots` patches. Gives `[pages, slots, d]`.
    pub fn forward(&self, patches: Tensor<B, 3>, key_bias: Option<Tensor<B, 4>>) -> Tensor<B, 3> {
        let [pages, slots, patch_len] = patches.dims();
        let weight = self.embeddings.patch_embedding.weight.val();
        let d = weight.dims()[0];
        meter::count(2 * (pages * slots * patch_len * d) as u64);
        let x = patches
            .reshape([pages * slots, patch_len])
            .matmul(weight.reshape([d, patch_len]).transpose())
            + self.embeddings.patch_embedding.bias.val().unsqueeze();
        let position = self.embeddings.position_embedding.weight.val().narrow(0, 0, slots);
        let mut x = (x.reshape([pages, slots, d]) + position.unsqueeze()).reshape([pages * slots, d]);
        for layer in &self.encoder.layers {
            x = layer.forward(x, pages, key_bias.as_ref());
        }
        self.post_layernorm.forward(x).reshape([pages, slots, d])
    }
}

impl<B: Fused> VisionLayer<B> {
    fn forward(&self, x: Tensor<B, 2>, pages: usize, key_bias: Option<&Tensor<B, 4>>) -> Tensor<B, 2> {
        let x = x.clone() + self.self_attn.forward(self.layer_norm1.forward(x), pages, key_bias);
        let hidden = self.mlp.fc1.forward(self.layer_norm2.forward(x.clone()));
        let hidden = wrap(B::gelu_tanh(unwrap(hidden)));
        x + self.mlp.fc2.forward(hidden)
    }
}

impl<B: Fused> VisionAttention<B> {
    fn forward(&self, x: Tensor<B, 2>, pages: usize, key_bias: Option<&Tensor<B, 4>>) -> Tensor<B, 2> {
        let [n, d] = x.dims();
        let (slots, head_dim) = (n / pages, d / self.heads);
        let split = |t: Tensor<B, 2>| t.reshape([pages, slots, self.heads, head_dim]).swap_dims(1, 2);
        let q = split(self.q_proj.forward(x.clone())).mul_scalar((head_dim as f64).powf(-0.5));
        let k = split(self.k_proj.forward(x.clone()));
        let v = split(self.v_proj.forward(x));
        // Scores and mixing, over padding too where pages differ in length.
        meter::count(4 * (pages * slots * slots * d) as u64);
        let mut scores = q.matmul(k.transpose());
        if let Some(bias) = key_bias {
            scores = scores + bias.clone();
        }
        let out = activation::softmax(scores, 3).matmul(v);
        self.out_proj.forward(out.swap_dims(1, 2).reshape([n, d]))
    }
}
