//! The decoder: Qwen3, Qwen2 and Llama shapes.

use super::fused::{Fused, unwrap, wrap};
use super::linear::{Embedding, Linear, together};
use super::norm::RmsNorm;
use super::rope::Rope;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

/// `language_model`: the decoder and its head.
#[derive(Module, Debug)]
pub struct LanguageModel<B: Backend> {
    /// Embedding, blocks, final norm.
    pub model: Decoder<B>,
    /// The output head, when it is not the embedding table.
    pub lm_head: Option<Linear<B>>,
}

/// `language_model.model`.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// `[vocab, d]`.
    pub embed_tokens: Embedding<B>,
    /// Blocks in order.
    pub layers: Vec<DecoderLayer<B>>,
    /// The final norm.
    pub norm: RmsNorm<B>,
}

/// `x += attn(norm x); x += mlp(norm x)`.
#[derive(Module, Debug)]
pub struct DecoderLayer<B: Backend> {
    /// Before attention.
    pub input_layernorm: RmsNorm<B>,
    /// Grouped-query attention.
    pub self_attn: SelfAttention<B>,
    /// Before the MLP.
    pub post_attention_layernorm: RmsNorm<B>,
    /// SwiGLU.
    pub mlp: Mlp<B>,
}

/// Projections and head norms of one attention layer; who sees whom is decided by the caller.
#[derive(Module, Debug)]
pub struct SelfAttention<B: Backend> {
    /// `[heads × head_dim, d]`.
    pub q_proj: Linear<B>,
    /// `[kv_heads × head_dim, d]`.
    pub k_proj: Linear<B>,
    /// `[kv_heads × head_dim, d]`.
    pub v_proj: Linear<B>,
    /// `[d, heads × head_dim]`.
    pub o_proj: Linear<B>,
    /// Per head, before RoPE (Qwen3).
    pub q_norm: Option<RmsNorm<B>>,
    /// Per head, before RoPE (Qwen3).
    pub k_norm: Option<RmsNorm<B>>,
    #[module(skip)]
    pub(super) head_dim: usize,
}

/// `down(silu(gate x) · up x)`.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// Gate.
    pub gate_proj: Linear<B>,
    /// Up.
    pub up_proj: Linear<B>,
    /// Down.
    pub down_proj: Linear<B>,
}

/// Queries (already scaled by `head_dim^-0.5`), keys and values of `n` elements, each `[n, heads, head_dim]`.
pub(super) struct Qkv<B: Backend> {
    pub q: Tensor<B, 3>,
    pub k: Tensor<B, 3>,
    pub v: Tensor<B, 3>,
}

impl<B: Fused> SelfAttention<B> {
    /// Projects `x`, `[n, d]`, normalises per head, rotates.
    pub(super) fn qkv(&self, x: Tensor<B, 2>, rope: &Rope<B>) -> Qkv<B> {
        let n = x.dims()[0];
        let split = |t: Tensor<B, 2>| {
            let heads = t.dims()[1] / self.head_dim;
            t.reshape([n, heads, self.head_dim])
        };
        let [mut q, mut k, v] = together(x, [&self.q_proj, &self.k_proj, &self.v_proj]).map(split);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            q = q_norm.forward(q);
            k = k_norm.forward(k);
        }
        let q = rope.apply(q).mul_scalar((self.head_dim as f64).powf(-0.5));
        Qkv { q, k: rope.apply(k), v }
    }
}

impl<B: Fused> DecoderLayer<B> {
    /// The block on `x`, `[n, d]`; `attend` turns queries, keys and values into attention outputs `[n, heads × head_dim]`.
    pub(super) fn forward(
        &self,
        x: Tensor<B, 2>,
        rope: &Rope<B>,
        attend: impl FnOnce(Qkv<B>) -> Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        let qkv = self.self_attn.qkv(self.input_layernorm.forward(x.clone()), rope);
        let x = x + self.self_attn.o_proj.forward(attend(qkv));
        let normed = self.post_attention_layernorm.forward(x.clone());
        let [gate, up] = together(normed, [&self.mlp.gate_proj, &self.mlp.up_proj]);
        let hidden = wrap(B::swiglu(unwrap(gate), unwrap(up)));
        x + self.mlp.down_proj.forward(hidden)
    }
}
