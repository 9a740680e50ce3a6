//! The claims, each against what came out.

use serde::Serialize;

use super::planned::Planned;
use super::report::Pair;

/// A claim and what came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Claim {
    pub(super) shape: String,
    pub(super) claim: String,
    pub(super) wanted: f64,
    pub(super) found: f64,
    pub(super) holds: bool,
    /// "planned" by the formulas, or "measured".
    pub(super) by: &'static str,
}

/// What the plan of one shape says of the paper's figures and of ours.
pub(super) fn of_plan(planned: &Planned) -> Vec<Claim> {
    let (shape, by) = (planned.name.clone(), "planned");
    let mut claims = Vec::new();
    if let Some(prefill) = planned.prompts.last() {
        let claim = format!("prefill of {} tokens: operations saved", prefill.tokens);
        claims.push(at_least(&shape, claim.clone(), 0.74, prefill.saved, by));
        let claim = format!("prefill of {} tokens: full over folded operations", prefill.tokens);
        claims.push(at_least(
            &shape,
            claim,
            3.0,
            prefill.full_flops / prefill.folded_flops,
            by,
        ));
    }
    if let Some(kv) = planned.contexts.last() {
        let claim = format!("KV of {} tokens read: bytes saved", kv.tokens);
        claims.push(at_least(&shape, claim, 0.73, kv.saved, by));
        let claim = format!("KV of {} tokens written, at its worst: bytes saved", kv.tokens);
        claims.push(at_least(&shape, claim, 0.73, kv.saved_while_writing, by));
    }
    let answer = &planned.answer;
    let claim = format!(
        "writing {} tokens after {}: folded over full operations",
        answer.tokens, answer.prompt_tokens
    );
    claims.push(Claim {
        shape,
        claim,
        wanted: 0.6,
        found: answer.ratio,
        holds: answer.ratio <= 0.6,
        by,
    });
    claims
}

/// What was measured at the longest prompt.
pub(super) fn of_runs(shape: &str, pair: &Pair) -> Vec<Claim> {
    let first = format!(
        "first token after {} tokens: full over folded seconds",
        pair.prompt_tokens
    );
    let kv = format!("KV after {} tokens: bytes saved", pair.prompt_tokens);
    vec![
        at_least(
            shape,
            first,
            3.0,
            pair.full.first_token_s / pair.folded.first_token_s,
            "measured",
        ),
        at_least(
            shape,
            kv,
            0.7,
            1.0 - pair.folded.kv_bytes / pair.full.kv_bytes,
            "measured",
        ),
    ]
}

fn at_least(shape: &str, claim: String, wanted: f64, found: f64, by: &'static str) -> Claim {
    Claim {
        shape: shape.to_owned(),
        claim,
        wanted,
        found,
        holds: found >= wanted,
        by,
    }
}
