//! What a whole run costs, full against folded.

use super::{Parameters, Slots, decode_tokens, fold_page, head, kv_bytes_per_slot, parameters, unfold};
use crate::config::{Config, FoldConfig, TextConfig};
use serde::Serialize;

/// The run to plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Tokens of the prompt, without BOS.
    pub prompt_tokens: usize,
    /// Tokens to generate.
    pub generated_tokens: usize,
    /// Tokens that a page holds in this text; `None` for K.
    pub tokens_per_page: Option<usize>,
    /// Bytes of one weight.
    pub weight_bytes: u64,
    /// Bytes of one key or value element.
    pub kv_bytes: u64,
}

/// One way of running it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    /// Slots after the prompt, BOS included.
    pub prompt_slots: usize,
    /// Slots at the end.
    pub slots: usize,
    /// Most slots held at any time.
    pub peak_slots: usize,
    /// KV bytes at the peak.
    pub kv_bytes: u64,
    /// Pages folded, in prompt and generation.
    pub folds: usize,
    /// FLOPs until the first token is known.
    pub prefill_flops: f64,
    /// FLOPs of running every generated token, folds included.
    pub generate_flops: f64,
}

impl Side {
    /// All FLOPs.
    pub fn flops(&self) -> f64 {
        self.prefill_flops + self.generate_flops
    }
}

/// A run, full against folded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Plan {
    /// Parameters by part.
    pub parameters: Parameters,
    /// Bytes of all weights.
    pub weight_bytes: u64,
    /// Bytes of KV per slot.
    pub kv_bytes_per_slot: u64,
    /// All text stays.
    pub full: Side,
    /// Finished chunks become pages; `None` for a text-only model.
    pub folded: Option<Side>,
}

/// Plans a run.
pub fn plan(config: &Config, load: &Load) -> Plan {
    let parameters = parameters(config);
    let per_slot = kv_bytes_per_slot(&config.text, load.kv_bytes);
    Plan {
        parameters,
        weight_bytes: parameters.bytes(load.weight_bytes),
        kv_bytes_per_slot: per_slot,
        full: full(&config.text, load, per_slot),
        folded: config
            .fold
            .as_ref()
            .map(|fold| folded(fold, &config.text, load, per_slot)),
    }
}

/// Prefill: BOS and prompt in one go, the head once. Generation: every token through the blocks and the head.
fn full(text: &TextConfig, load: &Load, per_slot: u64) -> Side {
    let prompt_slots = 1 + load.prompt_tokens;
    let slots = prompt_slots + load.generated_tokens;
    Side {
        prompt_slots,
        slots,
        peak_slots: slots,
        kv_bytes: slots as u64 * per_slot,
        folds: 0,
        prefill_flops: decode_tokens(text, 0, prompt_slots) + head(text),
        generate_flops: generate(text, prompt_slots, load.generated_tokens),
    }
}

/// Prefill: BOS, then each page folded (its text is run only with `visual_sees_text`), then the raw tail. Generation:
/// every token through blocks and head; each full chunk is then folded, and its page's last token through the head. What
/// the model reads again after a fold (`reread_tokens`) is part of what comes before the next token is known.
fn folded(fold: &FoldConfig, text: &TextConfig, load: &Load, per_slot: u64) -> Side {
    let rule = Slots::new(fold, load.tokens_per_page.unwrap_or(fold.chunk_tokens));
    let (full_page, visual) = (rule.tokens_per_page, rule.visual_tokens);
    let read = |tokens: usize, visual: usize, memory: usize| {
        let text_flops = if fold.visual_sees_text {
            decode_tokens(text, memory, tokens)
        } else {
            0.0
        };
        text_flops + fold_page(fold, text, memory, tokens, visual)
    };
    let (full_pages, last, raw) = rule.prompt_parts(load.prompt_tokens);
    let mut memory = 1;
    let mut prefill = decode_tokens(text, 0, 1) + head(text);
    prefill += series(memory, visual, full_pages, |memory| read(full_page, visual, memory));
    memory += full_pages * visual;
    if let Some(tokens) = last {
        prefill += read(tokens, rule.page(tokens), memory);
        memory += rule.page(tokens);
    }
    prefill += decode_tokens(text, memory, raw);
    memory += raw;

    let prompt_slots = memory;
    let (chunks, open) = (load.generated_tokens / full_page, load.generated_tokens % full_page);
    let folds = full_pages + usize::from(last.is_some());
    // The page that ends the prompt, if one does.
    let before = match last {
        Some(tokens) => tokens,
        None if raw == 0 && full_pages > 0 => full_page,
        None => 0,
    };
    let read_again = |memory, again| if again > 0 { unfold(text, memory, again) } else { 0.0 };
    let chunk = |memory: usize, again: usize| {
        let seen = memory + if fold.visual_sees_text { again } else { 0 };
        generate(text, memory + again, full_page) + fold_page(fold, text, seen, full_page, visual) + head(text)
    };
    let (first, again) = (rule.reread(0, before), rule.reread(1, before));
    if load.generated_tokens > 0 {
        prefill += read_again(memory, first);
    }
    let mut generating = if chunks > 0 { chunk(memory, first) } else { 0.0 };
    let (second, more) = (memory + visual, chunks.saturating_sub(1));
    generating += series(second, visual, more, |memory| {
        read_again(memory, again) + chunk(memory, again)
    });
    memory += chunks * visual;
    if open > 0 {
        let again = if chunks > 0 { read_again(memory, again) } else { 0.0 };
        generating += again + generate(text, memory + rule.reread(chunks, before), open);
    }
    let peak_slots = prompt_slots + rule.generated_peak(load.generated_tokens, before);
    Side {
        prompt_slots,
        slots: prompt_slots + rule.generated(load.generated_tokens, before),
        peak_slots,
        kv_bytes: peak_slots as u64 * per_slot,
        folds: folds + chunks,
        prefill_flops: prefill,
        generate_flops: generating,
    }
}

/// Sum of `cost` at `start`, `start + step`, … (`n` terms). Attention is linear in the memory, so every cost here is.
fn series(start: usize, step: usize, n: usize, cost: impl Fn(usize) -> f64) -> f64 {
    match n {
        0 => 0.0,
        _ => (cost(start) + cost(start + (n - 1) * step)) / 2.0 * n as f64,
    }
}

fn generate(text: &TextConfig, memory: usize, tokens: usize) -> f64 {
    decode_tokens(text, memory, tokens) + tokens as f64 * head(text)
}
