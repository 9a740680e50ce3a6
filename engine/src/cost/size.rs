//! Parameters and bytes.

use crate::checkpoint::{TensorSpec, tensors};
use crate::config::{Config, TextConfig};
use serde::Serialize;

/// Number of parameters of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The token embedding (also the head, when tied).
    pub embedding: u64,
    /// The decoder's blocks and final norm.
    pub decoder: u64,
    /// The output head; 0 when tied.
    pub head: u64,
    /// The vision encoder, or what stands for it.
    pub vision: u64,
    /// The aligner.
    pub aligner: u64,
}

impl Parameters {
    /// All parts together.
    pub fn total(&self) -> u64 {
        self.embedding + self.decoder + self.head + self.vision + self.aligner
    }

    /// Bytes of all weights at `bytes` a value (4 for f32, 2 for f16 and bf16).
    pub fn bytes(&self, bytes: u64) -> u64 {
        self.total() * bytes
    }
}

/// Counts the parameters of a model, from the very list of tensors that a checkpoint holds.
pub fn parameters(config: &Config) -> Parameters {
    let mut count = Parameters {
        embedding: 0,
        decoder: 0,
        head: 0,
        vision: 0,
        aligner: 0,
    };
    for TensorSpec { name, shape } in tensors(config) {
        let part = if name.starts_with("vision_tower.") || name.starts_with("page_encoder.") {
            &mut count.vision
        } else if name.starts_with("aligner.") {
            &mut count.aligner
        } else if name.ends_with("embed_tokens.weight") {
            &mut count.embedding
        } else if name.ends_with("lm_head.weight") {
            &mut count.head
        } else {
            &mut count.decoder
        };
        *part += shape.iter().map(|&n| n as u64).product::<u64>();
    }
    count
}

/// Bytes of KV that one slot takes: a key and a value of `kv_size` in every layer, at `bytes` a value.
pub fn kv_bytes_per_slot(text: &TextConfig, bytes: u64) -> u64 {
    2 * text.num_hidden_layers as u64 * text.kv_size() as u64 * bytes
}
