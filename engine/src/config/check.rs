//! Whether a configuration makes sense: every contradiction is found here, before anything is allocated.

use super::{AlignerKind, Config, FoldConfig, TextConfig};
use crate::{Error, Result};

// Bounds far above any real model, so low that no product of sizes overflows 64 bits.
const MAX_WIDTH: usize = 1 << 16;
const MAX_HIDDEN: usize = 1 << 20;
const MAX_LAYERS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_VOCAB: usize = 1 << 22;
const MAX_SLOTS: usize = 1 << 24;
const MAX_SIDE: usize = 1 << 13;
const MAX_CHUNK: usize = 1 << 16;
const MAX_THETA: f64 = 1e12;

impl Config {
    /// Checks that the configuration does not contradict itself; `place` names its file in errors.
    ///
    /// # Errors
    /// The first contradiction, with its key, its value and what would be right.
    pub fn validate(&self, place: &str) -> Result<()> {
        let prefix = if self.fold.is_some() { "text_config." } else { "" };
        text(&self.text, prefix)
            .and_then(|()| self.ids())
            .and_then(|()| self.fold.as_ref().map_or(Ok(()), fold))
            .map_err(|what| Error::invalid(place, what))
    }

    fn ids(&self) -> Result<(), String> {
        let vocab = self.text.vocab_size;
        if self.eos_token_id.is_empty() {
            return Err("eos_token_id is an empty list: it must hold at least one token id".into());
        }
        let all = std::iter::once(("bos_token_id", self.bos_token_id));
        for (key, id) in all.chain(self.eos_token_id.iter().map(|&id| ("eos_token_id", id))) {
            if id as usize >= vocab {
                return Err(format!("{key} is {id}: it must be below vocab_size, {vocab}"));
            }
        }
        Ok(())
    }
}

fn text(text: &TextConfig, prefix: &str) -> Result<(), String> {
    for (key, value, max) in [
        ("vocab_size", text.vocab_size, MAX_VOCAB),
        ("hidden_size", text.hidden_size, MAX_WIDTH),
        ("intermediate_size", text.intermediate_size, MAX_HIDDEN),
        ("num_hidden_layers", text.num_hidden_layers, MAX_LAYERS),
        ("num_attention_heads", text.num_attention_heads, MAX_HEADS),
        ("num_key_value_heads", text.num_key_value_heads, MAX_HEADS),
        ("head_dim", text.head_dim, MAX_HEADS),
        ("max_position_embeddings", text.max_position_embeddings, MAX_SLOTS),
    ] {
        size(prefix, key, value, max)?;
    }
    if !text.num_attention_heads.is_multiple_of(text.num_key_value_heads) {
        return Err(format!(
            "{prefix}num_key_value_heads is {}: it must divide num_attention_heads, {}",
            text.num_key_value_heads, text.num_attention_heads
        ));
    }
    if !text.head_dim.is_multiple_of(2) {
        return Err(format!(
            "{prefix}head_dim is {}: it must be even, RoPE turns pairs",
            text.head_dim
        ));
    }
    eps(prefix, "rms_norm_eps", text.rms_norm_eps)?;
    if !(1.0..=MAX_THETA).contains(&text.rope_theta) {
        return Err(format!(
            "{prefix}rope_theta is {}: it must be from 1 to {MAX_THETA}",
            text.rope_theta
        ));
    }
    Ok(())
}

fn fold(fold: &FoldConfig) -> Result<(), String> {
    let v = &fold.vision;
    for (key, value, max) in [
        ("hidden_size", v.hidden_size, MAX_WIDTH),
        ("intermediate_size", v.intermediate_size, MAX_HIDDEN),
        ("num_hidden_layers", v.num_hidden_layers, MAX_LAYERS),
        ("num_attention_heads", v.num_attention_heads, MAX_HEADS),
        ("num_channels", v.num_channels, 4),
        ("patch_height", v.patch_height, MAX_SIDE),
        ("patch_width", v.patch_width, MAX_SIDE),
        ("image_height", v.image_height, MAX_SIDE),
        ("image_width", v.image_width, MAX_SIDE),
    ] {
        size("vision_config.", key, value, max)?;
    }
    eps("vision_config.", "layer_norm_eps", v.layer_norm_eps)?;
    if !v.hidden_size.is_multiple_of(v.num_attention_heads) {
        return Err(format!(
            "vision_config.num_attention_heads is {}: it must divide hidden_size, {}",
            v.num_attention_heads, v.hidden_size
        ));
    }
    let page = &fold.page;
    size("page.", "cell_width", page.cell_width, MAX_SIDE)?;
    size("page.", "cell_height", page.cell_height, MAX_SIDE)?;
    for (inner, inner_size, outer, outer_size) in [
        (
            "vision_config.patch_height",
            v.patch_height,
            "image_height",
            v.image_height,
        ),
        ("vision_config.patch_width", v.patch_width, "image_width", v.image_width),
        (
            "page.cell_height",
            page.cell_height,
            "vision_config.patch_height",
            v.patch_height,
        ),
        (
            "page.cell_width",
            page.cell_width,
            "vision_config.patch_width",
            v.patch_width,
        ),
    ] {
        if !outer_size.is_multiple_of(inner_size) {
            return Err(format!("{inner} is {inner_size}: it must divide {outer}, {outer_size}"));
        }
    }
    if !(page.font_px > 0.0 && page.font_px <= page.cell_height as f32) {
        return Err(format!(
            "page.font_px is {}: it must be above 0 and at most cell_height, {}",
            page.font_px, page.cell_height
        ));
    }
    if page.newline.is_control() || page.newline.is_whitespace() {
        return Err(format!(
            "page.newline is {:?}: it must be a visible character",
            page.newline
        ));
    }
    chunks(fold)?;
    aligner(fold)
}

fn chunks(fold: &FoldConfig) -> Result<(), String> {
    let (columns, rows) = fold.vision.patch_grid();
    if fold.visual_tokens != columns * rows {
        return Err(format!(
            "visual_tokens is {}: it must be the page's patch count, {columns} × {rows} = {}",
            fold.visual_tokens,
            columns * rows
        ));
    }
    size("", "chunk_tokens", fold.chunk_tokens, MAX_CHUNK)?;
    if fold.chunk_tokens < fold.visual_tokens {
        return Err(format!(
            "chunk_tokens is {}: it must be at least visual_tokens, {}, or folding would grow the context",
            fold.chunk_tokens, fold.visual_tokens
        ));
    }
    if fold.reread_tokens > fold.chunk_tokens {
        return Err(format!(
            "reread_tokens is {}: it must be at most chunk_tokens, {}: a page has no more to read again",
            fold.reread_tokens, fold.chunk_tokens
        ));
    }
    Ok(())
}

fn aligner(fold: &FoldConfig) -> Result<(), String> {
    match (fold.aligner.kind, fold.aligner.hidden_size) {
        (AlignerKind::Mlp, None) => Err("aligner.hidden_size is missing: kind \"mlp\" needs it".into()),
        (_, Some(hidden)) => size("aligner.", "hidden_size", hidden, MAX_HIDDEN),
        _ => Ok(()),
    }
}

fn size(prefix: &str, key: &str, value: usize, max: usize) -> Result<(), String> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{prefix}{key} is {value}: it must be from 1 to {max}"))
    }
}

fn eps(prefix: &str, key: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value < 1.0 {
        Ok(())
    } else {
        Err(format!(
            "{prefix}{key} is {value}: it must be a small number above 0, like 1e-6"
        ))
    }
}
