//! The buffers of a forward pass, and how large they are.

use super::machine::Machine;
use super::recording::Buffer;
use crate::Result;
use crate::config::Config;

/// Rows of logits computed at a time.
pub(super) const LOGIT_ROWS: usize = 16;
/// Most splits of the KV in one attention launch.
pub(super) const MAX_SPLITS: usize = 32;
/// Most queries whose attention is split.
pub(super) const SPLIT_QUERIES: usize = 4;
/// Ids that sampling looks at: recent ones and banned ones.
pub(super) const SAMPLE_IDS: usize = 1024;
/// Words that sampling gives back.
pub(super) const SAMPLE_WORDS: usize = 4;

/// Rows that run at once: text tokens, or visual tokens of several pages.
pub(super) fn batch_rows(config: &Config) -> usize {
    let page = config.fold.as_ref().map_or(0, |fold| fold.vision.num_patches());
    page.max(512)
}

/// Pages that are encoded at once.
pub(super) fn batch_pages(config: &Config) -> usize {
    let page = config.fold.as_ref().map_or(1, |fold| fold.vision.num_patches());
    // With `skip_blank_patches` short pages take fewer rows, so more pages fit than full ones would.
    (2 * batch_rows(config) / page).max(1)
}

macro_rules! scratch {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The buffers.
        #[derive(Debug)]
        pub(super) struct Scratch { $($(#[$doc])* pub(super) $name: Buffer,)* }

        impl Scratch {
            /// Creates them.
            pub(super) fn new<M: Machine>(machine: &mut M, config: &Config) -> Result<Self> {
                let sizes = sizes(config);
                Ok(Self { $($name: machine.create(stringify!($name), sizes.$name)?,)* })
            }

            /// All of them.
            pub(super) fn buffers(&self) -> Vec<Buffer> {
                vec![$(self.$name),*]
            }
        }

        /// Bytes of each.
        #[derive(Debug, Clone, Copy)]
        pub(super) struct Sizes { $(pub(super) $name: u64,)* }

        impl Sizes {
            /// Names and bytes.
            pub(super) fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

scratch! {
    /// Token ids, `[rows]`.
    ids,
    /// Spans of KV rows, `[rows, 4]`.
    spans,
    /// Cosines and sines, `[rows, head_dim / 2, 2]`.
    rope,
    /// The residual stream, `[rows, d]`.
    x,
    /// Normalised, `[rows, d]`.
    h,
    /// `[rows, heads + 2 · kv_heads, head_dim]`.
    qkv,
    /// `[rows, heads, head_dim]`.
    q,
    /// `[rows, heads, head_dim]`.
    attended,
    /// Attention in splits, `[queries, heads, splits, head_dim]`.
    parts,
    /// Their statistics, `[queries, heads, splits, 2]`.
    stats,
    /// `[rows, intermediate]`.
    hidden,
    /// `[LOGIT_ROWS, vocab]`.
    logits,
    /// Ids that sampling looks at.
    sample_ids,
    /// What sampling drew.
    sampled,
    /// Pixels of pages.
    pages,
    /// Which patch each row is, `[rows]`.
    index,
    /// Spans of the encoder's rows, `[rows, 4]`.
    page_spans,
    /// `[rows, patch_len]`.
    patches,
    /// The encoder's residual stream, `[rows, d_vision]`.
    vision_x,
    /// `[rows, d_vision]`.
    vision_h,
    /// `[rows, 3 · d_vision]`.
    vision_qkv,
    /// `[rows, d_vision]`.
    vision_attended,
    /// `[rows, intermediate]` of the encoder's or of the aligner's hidden layer.
    vision_hidden,
    /// Bound where a kernel has a binding that this launch does not use.
    unused,
}

/// Bytes of every scratch buffer.
pub(super) fn sizes(config: &Config) -> Sizes {
    let text = &config.text;
    let rows = batch_rows(config);
    let floats = |n: usize| 4 * n.max(4) as u64;
    let vision = config.fold.as_ref().map(|fold| &fold.vision);
    let vision_rows = |width: usize| floats(vision.map_or(0, |_| rows * width));
    let aligner = config
        .fold
        .as_ref()
        .and_then(|fold| fold.aligner.hidden_size)
        .unwrap_or(0);
    let split_heads = SPLIT_QUERIES * MAX_SPLITS * text.num_attention_heads;
    Sizes {
        ids: floats(rows),
        spans: floats(4 * rows),
        rope: floats(rows * text.head_dim),
        x: floats(rows * text.hidden_size),
        h: floats(rows * text.hidden_size),
        qkv: floats(rows * (text.q_size() + 2 * text.kv_size())),
        q: floats(rows * text.q_size()),
        attended: floats(rows * text.q_size()),
        parts: floats(split_heads * text.head_dim),
        stats: floats(2 * split_heads),
        hidden: floats(rows * text.intermediate_size),
        logits: floats(LOGIT_ROWS * text.vocab_size),
        sample_ids: floats(SAMPLE_IDS),
        sampled: floats(SAMPLE_WORDS),
        pages: floats(vision.map_or(0, |v| {
            batch_pages(config) * (v.image_height * v.image_width).div_ceil(4)
        })),
        index: floats(rows),
        page_spans: floats(4 * rows),
        patches: vision_rows(vision.map_or(0, |v| v.patch_len())),
        vision_x: vision_rows(vision.map_or(0, |v| v.hidden_size)),
        vision_h: vision_rows(vision.map_or(0, |v| v.hidden_size)),
        vision_qkv: vision_rows(vision.map_or(0, |v| 3 * v.hidden_size)),
        vision_attended: vision_rows(vision.map_or(0, |v| v.hidden_size)),
        vision_hidden: vision_rows(vision.map_or(0, |v| v.intermediate_size.max(aligner))),
        unused: 64,
    }
}
