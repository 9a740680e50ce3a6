//! The decoder's configuration (keys as in `Qwen3Config`, `Qwen2Config`, `LlamaConfig`).

use serde::{Deserialize, Serialize};

/// The decoder family, which fixes where biases and norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextModelType {
    /// Per-head RMSNorm of q and k before RoPE, no biases.
    Qwen3,
    /// Bias on q, k and v.
    Qwen2,
    /// Neither (Llama, SmolLM2).
    Llama,
}

/// Shape of the decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Decoder family.
    pub model_type: TextModelType,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the SwiGLU hidden layer.
    pub intermediate_size: usize,
    /// Number of decoder blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads (GQA).
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Most *slots* that a context may hold (not tokens: a folded context holds more tokens than slots).
    pub max_position_embeddings: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Whether the output head is the embedding table.
    pub tie_word_embeddings: bool,
}

impl TextConfig {
    /// Whether q, k and v have a bias (Qwen2).
    pub fn qkv_bias(&self) -> bool {
        self.model_type == TextModelType::Qwen2
    }

    /// Whether q and k are normalised per head before RoPE (Qwen3).
    pub fn qk_norm(&self) -> bool {
        self.model_type == TextModelType::Qwen3
    }

    /// Width of all key heads together, which is also that of all value heads.
    pub fn kv_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Width of all query heads together.
    pub fn q_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }
}
