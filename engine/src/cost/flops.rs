//! FLOPs of each step.

use crate::config::{AlignerKind, FoldConfig, PageEncoder, TextConfig, VisionConfig};

/// The linear layers of all decoder blocks for one token: 2 · L · (2·d·q + 2·d·kv + 3·d·ff).
pub fn token_linear(text: &TextConfig) -> f64 {
    let [d, q, kv, ff, layers] = floats([
        text.hidden_size,
        text.q_size(),
        text.kv_size(),
        text.intermediate_size,
        text.num_hidden_layers,
    ]);
    2.0 * layers * (2.0 * d * q + 2.0 * d * kv + 3.0 * d * ff)
}

/// The attention of one token that sees `slots` slots, itself included: scores and mixing, 4 · L · q · slots.
pub fn token_attention(text: &TextConfig, slots: usize) -> f64 {
    let [q, layers, slots] = floats([text.q_size(), text.num_hidden_layers, slots]);
    4.0 * layers * q * slots
}

/// What it takes to know where the attention of `n` text tokens goes: their scores over `memory` slots once more,
/// 2 · L · q · memory each.
pub fn watch_tokens(text: &TextConfig, memory: usize, n: usize) -> f64 {
    n as f64 * token_attention(text, memory) / 2.0
}

/// Reading `tokens` tokens of pages again as text behind `memory` slots, and the head once.
pub fn unfold(text: &TextConfig, memory: usize, tokens: usize) -> f64 {
    decode_tokens(text, memory, tokens) + head(text)
}

/// The output head for one token: 2 · d · vocab.
pub fn head(text: &TextConfig) -> f64 {
    let [d, vocab] = floats([text.hidden_size, text.vocab_size]);
    2.0 * d * vocab
}

/// `n` tokens in a row through the decoder's blocks, causally, over `memory` slots: the i-th sees memory + i + 1.
pub fn decode_tokens(text: &TextConfig, memory: usize, n: usize) -> f64 {
    let [memory, n] = floats([memory, n]);
    n * token_linear(text) + token_attention(text, 1) * (n * memory + n * (n + 1.0) / 2.0)
}

/// The vision encoder over one page of `patches` patches: embedding, and in each block the linear layers and full
/// attention, n·2·(patch·d) + L · (n·2·(4·d² + 2·d·ff) + 4·d·n²).
pub fn encode_page(vision: &VisionConfig, patches: usize) -> f64 {
    let [d, ff, layers, patch, n] = floats([
        vision.hidden_size,
        vision.intermediate_size,
        vision.num_hidden_layers,
        vision.patch_len(),
        patches,
    ]);
    2.0 * n * patch * d + layers * (2.0 * n * (4.0 * d * d + 2.0 * d * ff) + 4.0 * d * n * n)
}

/// The aligner over `patches` encoder outputs.
pub fn align_page(fold: &FoldConfig, text: &TextConfig, patches: usize) -> f64 {
    let [vision, d, n] = floats([fold.vision.hidden_size, text.hidden_size, patches]);
    match (fold.aligner.kind, fold.aligner.hidden_size) {
        (AlignerKind::Mlp, Some(hidden)) => 2.0 * n * hidden as f64 * (vision + d),
        _ => 2.0 * n * vision * d,
    }
}

/// Folding one page: encoder, aligner, and its `visual` tokens through the decoder over `memory` slots (and over the
/// `tokens` of text that they replace, with `visual_sees_text`). No head.
pub fn fold_page(fold: &FoldConfig, text: &TextConfig, memory: usize, tokens: usize, visual: usize) -> f64 {
    let seen = memory + if fold.visual_sees_text { tokens } else { 0 };
    encode_chunk(fold, text, tokens, visual) + decode_tokens(text, seen, visual)
}

/// A page's `visual` tokens: from the image by encoder and aligner, or from the chunk's `tokens` (convolutions of kernel 4
/// and stride 2; means cost nothing worth counting).
pub fn encode_chunk(fold: &FoldConfig, text: &TextConfig, tokens: usize, visual: usize) -> f64 {
    let [n, d, width] = floats([tokens, text.hidden_size, fold.vision.hidden_size]);
    match fold.page_encoder {
        PageEncoder::Vision => encode_page(&fold.vision, visual) + align_page(fold, text, visual),
        PageEncoder::MeanPool => 0.0,
        PageEncoder::ConvPyramid => {
            2.0 * 4.0 * width * (n / 2.0 * d + n / 4.0 * width) + align_page(fold, text, visual)
        }
    }
}

fn floats<const N: usize>(sizes: [usize; N]) -> [f64; N] {
    sizes.map(|size| size as f64)
}
