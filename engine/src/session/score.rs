//! How well a model predicts a given text, under several kinds of memory.

use serde::{Deserialize, Serialize};

use super::ops::{cannot_fold, divide};
use super::plan::TEXT_BLOCK;
use super::{log_softmax, ops};
use crate::page::{FontStack, PageImage, PageRenderer, Patches, Tint};
use crate::runner::{Runner, Want};
use crate::text::Tokenizer;
use crate::{Error, Result, Wait};

/// What a scored text may remember. Every mode divides the text into the same chunks, so that numbers compare token by token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreMode {
    /// Finished chunks are folded.
    Folded,
    /// Everything stays text.
    Full,
    /// The last N text slots, N = what folding would hold at that point (with what it reads again); positions as in `Full`.
    Window,
    /// BOS and the open chunk only, at P = 1.
    None,
    /// As `None`, but behind what the model reads again after a fold (`reread_tokens`): what pages are worth beyond it.
    Reread,
}

/// What scoring found.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Negative log-likelihood of each token in nats, the first after BOS included.
    pub token_nll: Vec<f64>,
    /// Tokens in each closed chunk, in order (the open rest is not listed).
    pub chunks: Vec<usize>,
}

impl Score {
    /// Mean negative log-likelihood in nats; `None` of no tokens.
    pub fn nll_per_token(&self) -> Option<f64> {
        let n = self.token_nll.len();
        (n > 0).then(|| self.token_nll.iter().sum::<f64>() / n as f64)
    }
}

/// Rows of logits computed at once: bounds their memory to about 64 MB.
fn rows_at_once(vocab: usize) -> usize {
    ((16 << 20) / vocab.max(1)).max(1)
}

/// Scores `ids` (BOS is put before them unless they start with it) on an emptied `runner`. For a text-only model that was
/// trained without BOS the first of `ids` stands in its place: nothing predicts it, so it is not scored.
///
/// `on_page` gets every folded page, `progress` the number of tokens done.
///
/// # Errors
/// Ids outside the vocabulary, a text that needs more slots than the model has, chunks asked of a text-only model.
pub fn score(
    runner: &mut dyn Runner,
    tokenizer: &Tokenizer,
    fonts: FontStack,
    ids: &[u32],
    mode: ScoreMode,
    on_page: &mut dyn FnMut(usize, &PageImage) -> Result<()>,
    progress: &mut dyn FnMut(usize),
) -> Result<Score> {
    let config = runner.config().clone();
    let (vocab, bos) = (config.text.vocab_size, config.bos_token_id);
    if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab) {
        return Err(Error::Argument(format!(
            "token id {id} (number {at}) is outside the vocabulary of {vocab}"
        )));
    }
    let (start_id, ids) = match ids.split_first() {
        Some((first, rest)) if *first == bos || !ops::starts_with_bos(&config, tokenizer) => (*first, rest),
        _ => (bos, ids),
    };
    let lengths = match &config.fold {
        Some(fold) => divide(ids, tokenizer, fold).0,
        None if mode == ScoreMode::Full => Vec::new(),
        None => return Err(cannot_fold()),
    };
    runner.reset();
    let after_bos = runner.extend(&[start_id], Want::Last).wait()?;
    runner.keep_open();
    let bos_row = after_bos.last().to_vec();
    let mut scorer = Scorer {
        runner,
        rows: rows_at_once(vocab),
        block: if config.fold.is_some() { usize::MAX } else { TEXT_BLOCK },
        next: bos_row.clone(),
        out: Vec::with_capacity(ids.len()),
    };
    let pages = config.fold.as_ref().map(|fold| (fold, PageRenderer::new(fold, fonts)));
    let mut chunker = config.fold.as_ref().map(ops::chunker);
    let reread = config.fold.as_ref().map_or(0, |fold| fold.reread_tokens);
    let (mut start, mut held) = (0, 1 + reread);
    for (index, &n) in lengths.iter().enumerate() {
        let chunk = &ids[start..start + n];
        start += n;
        scorer.read(chunk)?;
        let (Some((fold, renderer)), Some(chunker)) = (&pages, &mut chunker) else {
            break;
        };
        for &id in chunk {
            chunker.push(id, tokenizer.token_bytes(id));
        }
        let text = chunker.close().text;
        match mode {
            ScoreMode::Folded => {
                let page = renderer.render(&text, Tint::White);
                on_page(index, &page)?;
                scorer.runner.page_text(&[chunk.to_vec()]);
                scorer.next = scorer.runner.fold(&[page], Want::Last).wait()?.logits.last().to_vec();
                scorer.read_again(&chunk[n - reread.min(n)..])?;
            }
            ScoreMode::Full => scorer.runner.keep_open(),
            ScoreMode::Window => {
                scorer.runner.keep_open();
                held += Patches::new(&renderer.render(&text, Tint::White), fold).slots;
                let surplus = scorer.runner.context().memory_slots().saturating_sub(held);
                scorer.runner.evict(surplus);
            }
            ScoreMode::None | ScoreMode::Reread => {
                scorer.runner.drop_open();
                scorer.next.clone_from(&bos_row);
                if mode == ScoreMode::Reread {
                    scorer.read_again(&chunk[n - reread.min(n)..])?;
                }
            }
        }
        progress(start);
    }
    scorer.read(&ids[start..])?;
    progress(ids.len());
    Ok(Score {
        token_nll: scorer.out,
        chunks: lengths,
    })
}

struct Scorer<'a> {
    runner: &'a mut dyn Runner,
    rows: usize,
    /// Open tokens after which they are kept, for models without chunks.
    block: usize,
    /// Logits that predict the next token.
    next: Vec<f32>,
    out: Vec<f64>,
}

impl Scorer<'_> {
    /// Reads `ids`, the end of what was folded, again in front of the next chunk.
    fn read_again(&mut self, ids: &[u32]) -> Result<()> {
        if !ids.is_empty() {
            self.next = self.runner.unfold(ids, Want::Last).wait()?.last().to_vec();
        }
        Ok(())
    }

    /// Scores `ids` and runs them as text.
    fn read(&mut self, ids: &[u32]) -> Result<()> {
        for block in ids.chunks(self.rows.min(self.block)) {
            let logits = self.runner.extend(block, Want::All).wait()?;
            for (i, &id) in block.iter().enumerate() {
                let row = if i == 0 { &self.next[..] } else { logits.row(i - 1) };
                self.out.push(-log_softmax(row, id as usize));
            }
            self.next = logits.last().to_vec();
            if self.runner.context().open_slots() >= self.block {
                self.runner.keep_open();
            }
        }
        Ok(())
    }
}
