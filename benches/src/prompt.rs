//! A long prompt: time to the first token, then decoding, folded or full.

use crate::cpu_time;
use crate::material::{Material, chunks};
use anyhow::{Context, Result};
use folio_engine::runner::{Logits, Runner, Want};
use folio_engine::{Wait, cost};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Pages folded at once, as a session does it: it bounds memory.
const PAGES_PER_BATCH: usize = 8;

/// How the context is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Finished chunks become pages.
    Folded,
    /// Plain attention over all text.
    Full,
}

/// What one run over the prompt gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromptRun {
    /// "folded" or "full".
    pub context: Mode,
    /// Seconds from the prompt's ids to the logits of the first new token: rendering, encoding and prefill.
    pub first_token_s: f64,
    /// CPU seconds of the process, all threads, in that time; `None` where the system does not tell.
    pub first_token_cpu_s: Option<f64>,
    /// Slots held then.
    pub prompt_slots: usize,
    /// Seconds spent drawing the prompt's pages.
    pub render_s: f64,
    /// Seconds spent in the vision encoder and aligner for the prompt.
    pub encode_s: f64,
    /// Tokens written after the prompt.
    pub decoded_tokens: usize,
    /// Tokens a second over all of them, folds included.
    pub decode_tokens_per_s: f64,
    /// CPU seconds of the process for all of them.
    pub decode_cpu_s: Option<f64>,
    /// Seconds of decoding that went into folds.
    pub decode_folds_s: f64,
    /// Folds while decoding.
    pub decode_folds: usize,
    /// KV bytes held at the end.
    pub kv_bytes: usize,
    /// Operations until the first token, as the runner counted them; `None` where it does not count.
    pub first_token_flops: Option<u64>,
    /// The same by `engine/cost`, from the lengths that were run.
    pub first_token_cost: f64,
    /// Operations of decoding, counted.
    pub decode_flops: Option<u64>,
    /// The same by `engine/cost`.
    pub decode_cost: f64,
    /// Bytes of the weights as the runner holds them.
    pub weight_bytes: usize,
    /// Bytes of all buffers on a GPU, where there is one.
    pub device_bytes: Option<u64>,
    /// Most memory that the process ever held, loading included; bytes.
    pub peak_bytes: Option<u64>,
}

/// Reads a prompt of `prompt_tokens` random ids, then writes `decode_tokens` greedily.
pub fn measure(runner: &mut dyn Runner, mode: Mode, prompt_tokens: usize, decode_tokens: usize) -> Result<PromptRun> {
    let config = runner.config().clone();
    let fold = config.fold.clone().context("this preset cannot fold")?;
    let mut material = Material::new(&config)?;
    warm_up(runner, &mut material, fold.chunk_tokens)?;
    // A document starts with BOS, raw (spec section 3).
    runner.extend(&[config.bos_token_id], Want::Nothing).wait()?;
    runner.keep_open();

    let ids = material.ids(prompt_tokens);
    let mut bill = Bill::new(runner);
    let (mut render_s, mut encode_s) = (0.0, 0.0);
    let (start, cpu) = (Instant::now(), cpu_time::seconds());
    let mut logits = match mode {
        Mode::Full => {
            // Finished text joins the memory chunk by chunk, so that the open chunk's buffer stays small.
            let pieces = ids.chunks(fold.chunk_tokens);
            let last = pieces.len().saturating_sub(1);
            let mut logits = Logits::default();
            for (i, piece) in pieces.enumerate() {
                bill.text(runner, piece.len(), i == last);
                logits = runner
                    .extend(piece, if i == last { Want::Last } else { Want::Nothing })
                    .wait()?;
                runner.keep_open();
            }
            logits
        }
        Mode::Folded => {
            let (folded, tail) = chunks(prompt_tokens, &fold);
            let pages: Vec<_> = folded.iter().map(|&tokens| material.page(tokens)).collect();
            render_s = start.elapsed().as_secs_f64();
            let batches = pages.chunks(PAGES_PER_BATCH);
            let last = batches.len().saturating_sub(1);
            let mut logits = Logits::default();
            for (i, batch) in batches.enumerate() {
                let want = if tail == 0 && i == last {
                    Want::Last
                } else {
                    Want::Nothing
                };
                let memory = runner.context().memory_slots();
                let done = runner.fold(batch, want).wait()?;
                bill.pages(runner, memory, &done.slots, want == Want::Last);
                encode_s += done.encode_s;
                logits = done.logits;
            }
            if tail == 0 {
                logits
            } else {
                bill.text(runner, tail, true);
                let logits = runner.extend(&ids[ids.len() - tail..], Want::Last).wait()?;
                runner.keep_open();
                logits
            }
        }
    };
    let first_token_s = start.elapsed().as_secs_f64();
    let first_token_cpu_s = since(cpu);
    let prompt_slots = runner.context().slots();
    let (first, first_flops) = (bill, runner.flops());

    let mut bill = Bill::new(runner);
    let (mut decode_folds_s, mut decode_folds) = (0.0, 0);
    let (start, cpu) = (Instant::now(), cpu_time::seconds());
    for _ in 0..decode_tokens {
        let id = argmax(logits.last())?;
        bill.text(runner, 1, true);
        logits = runner.extend(&[id], Want::Last).wait()?;
        if runner.context().open_slots() - runner.context().unfolded_slots() == fold.chunk_tokens {
            match mode {
                Mode::Full => runner.keep_open(),
                Mode::Folded => {
                    let folding = Instant::now();
                    let memory = runner.context().memory_slots();
                    let done = runner.fold(&[material.page(fold.chunk_tokens)], Want::Last).wait()?;
                    bill.pages(runner, memory, &done.slots, true);
                    logits = done.logits;
                    if fold.reread_tokens > 0 {
                        let again = material.ids(fold.reread_tokens);
                        bill.text(runner, again.len(), true);
                        logits = runner.unfold(&again, Want::Last).wait()?;
                    }
                    decode_folds_s += folding.elapsed().as_secs_f64();
                    decode_folds += 1;
                }
            }
        }
    }
    let decode_s = start.elapsed().as_secs_f64();
    Ok(PromptRun {
        context: mode,
        first_token_s,
        first_token_cpu_s,
        prompt_slots,
        render_s,
        encode_s,
        decoded_tokens: decode_tokens,
        decode_tokens_per_s: decode_tokens as f64 / decode_s,
        decode_cpu_s: since(cpu),
        decode_folds_s,
        decode_folds,
        first_token_flops: first.counted(first_flops),
        first_token_cost: first.cost,
        decode_flops: bill.counted(runner.flops()),
        decode_cost: bill.cost,
        weight_bytes: runner.weight_bytes(),
        device_bytes: runner.counts().map(|counts| counts.buffer_bytes),
        kv_bytes: runner.context().slots() * runner.kv_bytes_per_slot(),
        peak_bytes: crate::memory::peak_bytes(),
    })
}

/// What `engine/cost` says of the operations that a runner is asked for.
struct Bill {
    cost: f64,
    before: Option<u64>,
}

impl Bill {
    fn new(runner: &dyn Runner) -> Self {
        Self {
            cost: 0.0,
            before: runner.flops(),
        }
    }

    /// `n` tokens are about to be run, with the head for the last.
    fn text(&mut self, runner: &dyn Runner, n: usize, head: bool) {
        let text = &runner.config().text;
        self.cost += cost::decode_tokens(text, runner.context().slots(), n);
        self.cost += if head { cost::head(text) } else { 0.0 };
    }

    /// Pages of `slots` visual tokens were folded over `memory` slots in one call.
    fn pages(&mut self, runner: &dyn Runner, mut memory: usize, slots: &[usize], head: bool) {
        let config = runner.config();
        let Some(fold) = &config.fold else { return };
        for &n in slots {
            self.cost += cost::fold_page(fold, &config.text, memory, 0, n);
            memory += n;
        }
        self.cost += if head { cost::head(&config.text) } else { 0.0 };
    }

    fn counted(&self, now: Option<u64>) -> Option<u64> {
        Some(now? - self.before?)
    }
}

/// CPU seconds since `before`.
fn since(before: Option<f64>) -> Option<f64> {
    Some(cpu_time::seconds()? - before?)
}

/// Touches every weight and starts the thread pool, then forgets.
fn warm_up(runner: &mut dyn Runner, material: &mut Material, chunk_tokens: usize) -> Result<()> {
    let page = material.page(chunk_tokens);
    runner.fold(&[page], Want::Last).wait()?;
    runner.extend(&material.ids(chunk_tokens), Want::Last).wait()?;
    runner.reset();
    Ok(())
}

fn argmax(logits: &[f32]) -> Result<u32> {
    let best = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .context("the model gave no logits")?;
    Ok(u32::try_from(best.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::StandIn;

    #[test]
    fn folded_holds_a_quarter_of_the_slots_and_folds_while_it_writes() {
        // 6 chunks of 128 and a tail of 20 (raw), then 300 tokens: 2 folds and 44 open.
        let run = measure(&mut StandIn::new(), Mode::Folded, 6 * 128 + 20, 300).expect("it runs");
        assert_eq!(run.prompt_slots, 1 + 6 * 32 + 20);
        assert_eq!(run.decode_folds, 2);
        assert_eq!(run.kv_bytes, 1 + 8 * 32 + 20 + 44);
    }

    #[test]
    fn full_holds_every_token() {
        let run = measure(&mut StandIn::new(), Mode::Full, 6 * 128 + 20, 300).expect("it runs");
        assert_eq!((run.prompt_slots, run.decode_folds), (1 + 6 * 128 + 20, 0));
        assert_eq!(run.kv_bytes, 1 + 6 * 128 + 20 + 300);
    }

    #[test]
    fn argmax_is_the_largest() {
        assert_eq!(argmax(&[-3.0, -1.0, -2.0]).expect("a value"), 1);
        assert!(argmax(&[]).is_err());
    }
}
