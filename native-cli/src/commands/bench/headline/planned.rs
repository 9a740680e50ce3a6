//! What the formulas of `engine/cost` say of a shape.

use folio_engine::config::Config;
use folio_engine::cost::{Load, Plan, plan};
use serde::Serialize;

/// Bytes of a weight and of a KV element: 16 bits each, as such models are run.
const BYTES: u64 = 2;

/// Contexts whose KV is compared.
pub(super) const CONTEXTS: [usize; 4] = [4096, 8192, 16_384, 32_768];

/// The plan of one shape.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) parameters: u64,
    pub(super) weight_bytes: u64,
    pub(super) prompts: Vec<Prefill>,
    pub(super) contexts: Vec<Kv>,
    pub(super) answer: Answer,
}

/// Reading a prompt.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Prefill {
    pub(super) tokens: usize,
    pub(super) full_flops: f64,
    pub(super) folded_flops: f64,
    /// Share of the full context's operations that folding saves.
    pub(super) saved: f64,
}

/// Holding a context that was read as a prompt.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Kv {
    pub(super) tokens: usize,
    pub(super) full_bytes: u64,
    pub(super) folded_bytes: u64,
    pub(super) saved: f64,
    /// The same at its worst while the context is written: the open chunk is text.
    pub(super) saved_while_writing: f64,
}

/// Writing an answer after the longest prompt.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Answer {
    pub(super) prompt_tokens: usize,
    pub(super) tokens: usize,
    pub(super) full_flops: f64,
    pub(super) folded_flops: f64,
    /// Folded over full.
    pub(super) ratio: f64,
}

impl Planned {
    /// The plan of `config` for these prompts and an answer of `answer` tokens after the longest.
    pub(super) fn new(name: &str, config: &Config, prompts: &[usize], answer: usize) -> Self {
        let of = |prompt_tokens, generated_tokens| {
            let load = Load {
                prompt_tokens,
                generated_tokens,
                tokens_per_page: None,
                weight_bytes: BYTES,
                kv_bytes: BYTES,
            };
            plan(config, &load)
        };
        let any = of(1, 0);
        Self {
            name: name.to_owned(),
            parameters: any.parameters.total(),
            weight_bytes: any.weight_bytes,
            prompts: prompts.iter().map(|&tokens| prefill(tokens, &of(tokens, 0))).collect(),
            contexts: CONTEXTS.iter().map(|&n| kv(n, &of(n, 0), &of(0, n))).collect(),
            answer: written(prompts.last().copied().unwrap_or(0), answer, &of),
        }
    }
}

fn prefill(tokens: usize, plan: &Plan) -> Prefill {
    let full = plan.full.prefill_flops;
    let folded = plan.folded.map_or(full, |side| side.prefill_flops);
    Prefill {
        tokens,
        full_flops: full,
        folded_flops: folded,
        saved: 1.0 - folded / full,
    }
}

fn kv(tokens: usize, read: &Plan, written: &Plan) -> Kv {
    let bytes = |plan: &Plan| plan.folded.map_or(plan.full.kv_bytes, |side| side.kv_bytes);
    let saved = |plan: &Plan| 1.0 - bytes(plan) as f64 / plan.full.kv_bytes as f64;
    Kv {
        tokens,
        full_bytes: read.full.kv_bytes,
        folded_bytes: bytes(read),
        saved: saved(read),
        saved_while_writing: saved(written),
    }
}

fn written(prompt_tokens: usize, tokens: usize, of: &dyn Fn(usize, usize) -> Plan) -> Answer {
    let plan = of(prompt_tokens, tokens);
    let full = plan.full.generate_flops;
    let folded = plan.folded.map_or(full, |side| side.generate_flops);
    Answer {
        prompt_tokens,
        tokens,
        full_flops: full,
        folded_flops: folded,
        ratio: folded / full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio_engine::config::preset;

    /// Spec section 6: what the paper's 8B saves at prefill, and what its photo encoder costs the 0.6B.
    #[test]
    fn the_papers_own_figures_come_out() {
        let saved = |name: &str| {
            let config = preset(name).expect("a preset");
            Planned::new(name, &config, &[8192], 16_384).prompts[0].saved
        };
        assert!((saved("vist2-8b") - 0.74).abs() < 0.01);
        assert!(saved("vist2-0.6b") < 0.60);
        assert!(saved("vist2-0.6b-strips") > 0.8);
    }

    #[test]
    fn a_context_that_is_written_saves_less_than_one_that_was_read() {
        let config = preset("vist2-0.6b").expect("a preset");
        let planned = Planned::new("x", &config, &[1024], 2048);
        for kv in &planned.contexts {
            assert!(kv.saved > 0.74 && kv.saved_while_writing < kv.saved, "{kv:?}");
        }
        assert!((planned.answer.ratio - planned.answer.folded_flops / planned.answer.full_flops).abs() < 1e-12);
    }
}
