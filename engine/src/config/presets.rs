//! The shapes that `folio-train init --preset` knows.

use super::{AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig};

/// Names of all presets.
pub const PRESETS: [&str; 9] = [
    "folio-nano",
    "smollm2-135m-folded",
    "vist2-0.6b",
    "vist2-1.7b",
    "vist2-4b",
    "vist2-8b",
    "vist2-0.6b-strips",
    "vist2-4b-strips",
    "vist2-8b-strips",
];

/// The configuration named `name`, or `None`.
pub fn preset(name: &str) -> Option<Config> {
    match name {
        "folio-nano" => Some(folio_nano()),
        "smollm2-135m-folded" => Some(smollm2()),
        "vist2-0.6b" => Some(vist2(1024, 28, 16, 3072, true)),
        "vist2-1.7b" => Some(vist2(2048, 28, 16, 6144, true)),
        "vist2-4b" => Some(vist2(2560, 36, 32, 9728, true)),
        "vist2-8b" => Some(vist2(4096, 36, 32, 12288, false)),
        "vist2-0.6b-strips" => preset("vist2-0.6b").map(with_strips),
        "vist2-4b-strips" => preset("vist2-4b").map(with_strips),
        "vist2-8b-strips" => preset("vist2-8b").map(with_strips),
        _ => None,
    }
}

/// A decoder with our small text encoder in place of the paper's photo encoder: pages that people can read, chunks of
/// 256, and a few percent of SigLIP2-L's work.
fn with_strips(mut config: Config) -> Config {
    config.fold = smollm2().fold;
    config
}

/// Strips of `cells` cells of 8×16 px, `rows` lines of two strips: one visual token is the t-th stretch of the text.
fn strips(cells: usize, rows: usize, hidden_size: usize, layers: usize, heads: usize) -> VisionConfig {
    VisionConfig {
        hidden_size,
        intermediate_size: 4 * hidden_size,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        layer_norm_eps: 1e-6,
        num_channels: 1,
        patch_height: 16,
        patch_width: 8 * cells,
        image_height: 16 * rows,
        image_width: 2 * 8 * cells,
    }
}

fn strip_page() -> PageConfig {
    PageConfig {
        font_px: 14.0,
        cell_width: 8,
        cell_height: 16,
        newline: '¶',
    }
}

fn folio_nano() -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 4096,
            hidden_size: 256,
            intermediate_size: 768,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 64,
            max_position_embeddings: 4096,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
        },
        bos_token_id: 0,
        eos_token_id: vec![1],
        fold: Some(FoldConfig {
            vision: strips(16, 16, 192, 3, 3),
            aligner: AlignerConfig {
                kind: AlignerKind::Linear,
                hidden_size: None,
            },
            page: strip_page(),
            chunk_tokens: 128,
            visual_tokens: 32,
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

/// SmolLM2-135M's shape with a small strip encoder.
fn smollm2() -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Llama,
            vocab_size: 49152,
            hidden_size: 576,
            intermediate_size: 1536,
            num_hidden_layers: 30,
            num_attention_heads: 9,
            num_key_value_heads: 3,
            head_dim: 64,
            max_position_embeddings: 8192,
            rms_norm_eps: 1e-5,
            rope_theta: 100_000.0,
            tie_word_embeddings: true,
        },
        bos_token_id: 1,
        eos_token_id: vec![2],
        fold: Some(FoldConfig {
            vision: strips(20, 32, 384, 4, 6),
            aligner: AlignerConfig {
                kind: AlignerKind::Tanh,
                hidden_size: None,
            },
            page: strip_page(),
            chunk_tokens: 256,
            visual_tokens: 64,
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

/// The paper's models: Qwen3 with SigLIP2 ViT-L/16 at 256 px, K = 1024, β = 256.
fn vist2(hidden_size: usize, layers: usize, heads: usize, intermediate_size: usize, tied: bool) -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 151_936,
            hidden_size,
            intermediate_size,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: 8,
            head_dim: 128,
            max_position_embeddings: 40_960,
            rms_norm_eps: 1e-6,
            rope_theta: 1_000_000.0,
            tie_word_embeddings: tied,
        },
        bos_token_id: 151_643,
        eos_token_id: vec![151_645, 151_643],
        fold: Some(FoldConfig {
            vision: VisionConfig {
                hidden_size: 1024,
                intermediate_size: 4096,
                num_hidden_layers: 24,
                num_attention_heads: 16,
                layer_norm_eps: 1e-6,
                num_channels: 3,
                patch_height: 16,
                patch_width: 16,
                image_height: 256,
                image_width: 256,
            },
            aligner: AlignerConfig {
                kind: AlignerKind::Tanh,
                hidden_size: None,
            },
            // 4×4 px a character (4,096 cells): no font reads at that size, but it is the paper's own density
            // (14 px² a character), and patches of 16×16 px hold whole cells.
            page: PageConfig {
                font_px: 4.0,
                cell_width: 4,
                cell_height: 4,
                newline: '¶',
            },
            chunk_tokens: 1024,
            visual_tokens: 256,
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: false,
            page_encoder: Default::default(),
        }),
    }
}
