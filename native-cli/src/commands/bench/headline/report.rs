//! Medians of the rounds, tables, files.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use folio_benches::prompt::Mode;
use folio_benches::statistics::median;
use folio_engine::checkpoint::AtomicFile;
use serde::Serialize;

use super::Args;
use super::child::Run;
use super::claims::{self, Claim};
use super::planned::Planned;
use crate::listener::bytes;
use crate::output;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    model: String,
    device: Option<String>,
    rounds: usize,
    decoded_tokens: usize,
    pub(super) planned: Vec<Planned>,
    pub(super) measured: Vec<Pair>,
    claims: Vec<Claim>,
    /// Every run, as it came.
    pub(super) runs: Vec<Run>,
}

/// Full and folded at one length of the prompt: medians of the rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Pair {
    pub(super) prompt_tokens: usize,
    pub(super) full: Side,
    pub(super) folded: Side,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Side {
    pub(super) first_token_s: f64,
    /// Of the first token's time, folded: drawing, encoding, and the rest (running visual tokens, the raw tail).
    pub(super) render_s: f64,
    pub(super) encode_s: f64,
    pub(super) prefill_s: f64,
    pub(super) decode_tokens_per_s: f64,
    pub(super) kv_bytes: f64,
    pub(super) weight_bytes: f64,
    /// Most memory of the process; all buffers of the GPU.
    pub(super) peak_bytes: Option<f64>,
    pub(super) device_bytes: Option<f64>,
    /// Until the first token, counted by the runner and by the formulas.
    pub(super) counted_flops: Option<f64>,
    pub(super) planned_flops: f64,
}

impl Report {
    pub(super) fn new(model: &str, args: &Args) -> Self {
        Self {
            model: model.to_owned(),
            device: None,
            rounds: args.rounds,
            decoded_tokens: args.decode,
            planned: Vec::new(),
            measured: Vec::new(),
            claims: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Draws the conclusions.
    pub(super) fn judge(&mut self) {
        self.device = self.runs.first().map(|run| run.device.clone());
        let mut prompts: Vec<usize> = self.runs.iter().map(|run| run.prompt_tokens).collect();
        prompts.sort_unstable();
        prompts.dedup();
        self.measured = prompts
            .into_iter()
            .map(|prompt_tokens| {
                let of = |mode| {
                    let runs = self.runs.iter();
                    side(
                        &runs
                            .filter(|r| r.prompt_tokens == prompt_tokens && r.figures.context == mode)
                            .collect::<Vec<_>>(),
                    )
                };
                Pair {
                    prompt_tokens,
                    full: of(Mode::Full),
                    folded: of(Mode::Folded),
                }
            })
            .collect();
        self.claims = self.planned.iter().flat_map(claims::of_plan).collect();
        if let Some(pair) = self.measured.last() {
            self.claims.extend(claims::of_runs(&self.model, pair));
        }
    }

    /// Writes headline.json and headline.md into `dir`.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for (name, text) in [("headline.json", output::pretty(self)?), ("headline.md", self.text())] {
            let mut file = AtomicFile::create(&dir.join(name))?;
            file.write(text.as_bytes())?;
            file.commit()?;
        }
        Ok(())
    }

    /// The tables, as Markdown.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.tables(&mut out);
        out
    }

    fn tables(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# {}: full context against folded\n", self.model)?;
        if !self.measured.is_empty() {
            let device = self.device.as_deref().unwrap_or("");
            writeln!(
                out,
                "Measured on {device}; medians of {} rounds; {} tokens decoded.\n",
                self.rounds, self.decoded_tokens
            )?;
            out.push_str("| prompt | first token, full | folded | ratio | of it drawing, encoding, prefill | decoding, full | folded | KV, full | folded | peak memory, full | folded | GFLOP to the first token, folded: counted | planned |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
            for pair in &self.measured {
                measured_row(out, pair)?;
            }
            out.push('\n');
        }
        out.push_str("Planned (`engine/cost`; weights and KV of 16 bits):\n\n");
        for planned in &self.planned {
            planned_tables(out, planned)?;
        }
        out.push_str("| shape | claim | wanted | found | |\n|---|---|--:|--:|---|\n");
        for claim in &self.claims {
            let (sign, verdict) = (
                if claim.claim.contains("folded over full") {
                    "≤"
                } else {
                    "≥"
                },
                if claim.holds { "holds" } else { "**missed**" },
            );
            writeln!(
                out,
                "| {} | {} ({}) | {sign} {} | {:.3} | {verdict} |",
                claim.shape, claim.claim, claim.by, claim.wanted, claim.found
            )?;
        }
        Ok(())
    }
}

fn side(runs: &[&Run]) -> Side {
    let of = |get: &dyn Fn(&Run) -> f64| median(runs.iter().map(|run| get(run)));
    let some = |get: &dyn Fn(&Run) -> Option<u64>| {
        let values: Option<Vec<f64>> = runs.iter().map(|run| get(run).map(|n| n as f64)).collect();
        values.map(median)
    };
    Side {
        first_token_s: of(&|r| r.figures.first_token_s),
        render_s: of(&|r| r.figures.render_s),
        encode_s: of(&|r| r.figures.encode_s),
        prefill_s: of(&|r| r.figures.first_token_s - r.figures.render_s - r.figures.encode_s),
        decode_tokens_per_s: of(&|r| r.figures.decode_tokens_per_s),
        kv_bytes: of(&|r| r.figures.kv_bytes as f64),
        weight_bytes: of(&|r| r.figures.weight_bytes as f64),
        peak_bytes: some(&|r| r.figures.peak_bytes),
        device_bytes: some(&|r| r.figures.device_bytes),
        counted_flops: some(&|r| r.figures.first_token_flops),
        planned_flops: of(&|r| r.figures.first_token_cost),
    }
}

fn measured_row(out: &mut String, pair: &Pair) -> std::fmt::Result {
    let (full, folded) = (&pair.full, &pair.folded);
    let size = |n: f64| bytes(n as usize);
    let peak = |side: &Side| {
        side.device_bytes
            .or(side.peak_bytes)
            .map_or_else(|| "–".to_owned(), size)
    };
    let giga = |n: f64| format!("{:.3}", n / 1e9);
    writeln!(
        out,
        "| {} | {:.2} s | {:.2} s | {:.1} | {:.2}, {:.2}, {:.2} s | {:.1}/s | {:.1}/s | {} | {} | {} | {} | {} | {} |",
        pair.prompt_tokens,
        full.first_token_s,
        folded.first_token_s,
        full.first_token_s / folded.first_token_s,
        folded.render_s,
        folded.encode_s,
        folded.prefill_s,
        full.decode_tokens_per_s,
        folded.decode_tokens_per_s,
        size(full.kv_bytes),
        size(folded.kv_bytes),
        peak(full),
        peak(folded),
        folded.counted_flops.map_or_else(|| "–".to_owned(), giga),
        giga(folded.planned_flops),
    )
}

fn planned_tables(out: &mut String, planned: &Planned) -> std::fmt::Result {
    let (name, parameters) = (&planned.name, planned.parameters as f64 / 1e6);
    writeln!(
        out,
        "**{name}**: {parameters:.0} M parameters, {} of weights\n",
        bytes(planned.weight_bytes as usize)
    )?;
    out.push_str("| prompt | TFLOP, full | folded | saved |\n|--:|--:|--:|--:|\n");
    for row in &planned.prompts {
        let tera = |n: f64| n / 1e12;
        writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.0}% |",
            row.tokens,
            tera(row.full_flops),
            tera(row.folded_flops),
            100.0 * row.saved
        )?;
    }
    out.push_str(
        "\n| context | KV, full | folded | saved | saved at the worst while writing it |\n|--:|--:|--:|--:|--:|\n",
    );
    for row in &planned.contexts {
        writeln!(
            out,
            "| {} | {} | {} | {:.1}% | {:.1}% |",
            row.tokens,
            bytes(row.full_bytes as usize),
            bytes(row.folded_bytes as usize),
            100.0 * row.saved,
            100.0 * row.saved_while_writing
        )?;
    }
    let answer = &planned.answer;
    writeln!(
        out,
        "\nWriting {} tokens after {}: {:.2} TFLOP full, {:.2} folded ({:.2} of it).\n",
        answer.tokens,
        answer.prompt_tokens,
        answer.full_flops / 1e12,
        answer.folded_flops / 1e12,
        answer.ratio
    )
}
