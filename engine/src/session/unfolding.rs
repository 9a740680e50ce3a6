//! Unfolding: the pages that have most in common with what was written last are read again as text, for the chunk that comes next; where
//! no page has anything, those that attention asks for most.
//!
//! Words come first because attention, summed over heads and layers, was measured to ask for the newest page nearly always (QUALITY.md).
//!
//! The text stands behind the last slot of memory, at positions P, P+1, …, and the open chunk behind it; all of it goes when
//! the chunk is folded, so that the memory is what it is without unfolding. After the pages come the last β tokens of
//! the document once more (as many as a raw tail may have): so what is asked follows what may answer it, and the first token
//! of the chunk is predicted by text that sees both.
//!
//! A model with `reread_tokens` reads the end of a page again after every fold, in the same way and without being asked: no page
//! is chosen then, and what is read is the last tokens of the page just folded.

use std::ops::Range;

use super::driver::Driver;
use super::in_common::in_common;
use super::ops::Op;
use super::stats::UnfoldStats;
use super::{ContextMode, Event};
use crate::clock::Stopwatch;
use crate::runner::Want;
use crate::{Error, Result};

/// The `n` pages that were asked for most, in document order. Of equals the newer ones.
pub fn most_asked(asked: &[f64], n: usize) -> Vec<usize> {
    let mut pages: Vec<usize> = (0..asked.len()).collect();
    pages.sort_by(|&a, &b| asked[b].total_cmp(&asked[a]).then(b.cmp(&a)));
    pages.truncate(n);
    pages.sort_unstable();
    pages
}

/// The stretches of a document of `end` tokens that are read again: those of the `chosen` pages (in document order) and the
/// last `tail` tokens, none twice. `pages`: where each page's tokens are, in order.
pub fn reread(pages: &[Range<usize>], chosen: &[usize], end: usize, tail: usize) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    let last = end.saturating_sub(tail)..end;
    for next in chosen.iter().map(|&page| pages[page].clone()).chain([last]) {
        match stretches.last_mut() {
            // What follows on without a gap is one stretch.
            Some(before) if next.start <= before.end => before.end = before.end.max(next.end),
            _ => stretches.push(next),
        }
    }
    stretches
}

/// What a driver knows of unfolding.
#[derive(Debug, Default)]
pub(crate) struct Unfolding {
    /// Most pages that are read again for a chunk; 0: none.
    pub(crate) most: usize,
    /// The tokens of every page, in order.
    pub(crate) pages: Vec<Range<usize>>,
    /// Figures so far; bytes of KV are the session's to say.
    pub(crate) done: UnfoldStats,
}

impl Driver {
    /// From now on at most `most` pages are read again for a chunk; 0: none.
    ///
    /// # Errors
    /// Unfolding where nothing is folded, or on a runner that cannot.
    pub(crate) fn set_unfold(&mut self, most: usize) -> Result<()> {
        if most > 0 && self.mode == ContextMode::Full {
            return Err(Error::Argument(
                "unfolding needs pages: with --context full all text is there anyway, leave --unfold out".into(),
            ));
        }
        self.runner.watch_pages(most > 0)?;
        self.unfolding.most = most;
        Ok(())
    }

    /// Before the first token of a chunk: reads again what was asked for most, if anything may be, or else the end of the page
    /// just folded, if the model does so.
    ///
    /// # Errors
    /// As the runner's.
    pub(crate) async fn unfold(&mut self) -> Result<Vec<Event>> {
        let Some(fold) = self.fold_config() else {
            return Ok(Vec::new());
        };
        let (chunk_tokens, rereads) = (fold.chunk_tokens, fold.reread_tokens > 0);
        let begun = self.open_tokens() > 0 || self.runner.context().unfolded_slots() > 0;
        if begun || self.unfolding.pages.is_empty() {
            return Ok(Vec::new());
        }
        let limit = self.runner.config().text.max_position_embeddings;
        let room = limit.saturating_sub(self.runner.context().slots());
        let mut pages = Vec::new();
        if self.unfolding.most > 0 {
            // Fewer where the chunk itself would find no room behind them.
            pages = self.choose(room.saturating_sub(chunk_tokens)).await?;
        }
        let just_folded = || matches!(self.ops.iter().rfind(|op| op.computes()), Some(Op::Fold { .. }));
        if pages.is_empty() && !(rereads && just_folded() && self.tokens_again(&[]) < room) {
            return Ok(Vec::new());
        }
        self.apply(Op::Unfold { pages }, Want::Kept, true).await
    }

    /// The pages to read again, as many as find room in `room` slots.
    async fn choose(&mut self, room: usize) -> Result<Vec<usize>> {
        let words = in_common(&self.tokens, &self.unfolding.pages, self.question());
        let asked = loop {
            // Asked in any case: what attention has added up begins anew with the next chunk.
            match self.runner.pages_asked().await {
                Err(Error::DeviceLost(what)) => self.recover(self.ops.clone(), what).await?,
                asked => break asked?,
            }
        };
        let asked = if words.iter().any(|&shared| shared > 0.0) {
            words
        } else {
            asked
        };
        let most = self.unfolding.most.min(asked.len());
        let fitting = (1..=most).rev().map(|most| most_asked(&asked, most));
        let mut fitting = fitting.filter(|pages| self.tokens_again(pages) <= room);
        Ok(fitting.next().unwrap_or_default())
    }

    /// The last β tokens (or as many as the model reads again anyway), which are read again behind the pages.
    fn question(&self) -> Range<usize> {
        let tail = self
            .fold_config()
            .map_or(0, |fold| fold.visual_tokens.max(fold.reread_tokens));
        self.cursor.saturating_sub(tail)..self.cursor
    }

    /// What is read again: the `chosen` pages and the question, or of no page the end of the newest.
    fn reread(&self, chosen: &[usize]) -> Vec<Range<usize>> {
        if let (Some(last), true) = (self.unfolding.pages.last(), chosen.is_empty()) {
            let tail = self.fold_config().map_or(0, |fold| fold.reread_tokens).min(last.len());
            let end = last.end - tail..last.end;
            return vec![end];
        }
        reread(&self.unfolding.pages, chosen, self.cursor, self.question().len())
    }

    fn tokens_again(&self, chosen: &[usize]) -> usize {
        self.reread(chosen).iter().map(ExactSizeIterator::len).sum()
    }

    /// Carries out [`Op::Unfold`]. Only of pages that are read again is anything told.
    pub(super) async fn read_again(&mut self, chosen: &[usize], want: Want, run: bool) -> Result<Option<Event>> {
        let stretches = self.reread(chosen);
        let ids: Vec<u32> = stretches.into_iter().flat_map(|at| &self.tokens[at]).copied().collect();
        if run {
            let watch = Stopwatch::start();
            let logits = self.runner.unfold(&ids, want).await?;
            if want != Want::Nothing {
                self.logits = logits.data;
            }
            if !chosen.is_empty() {
                self.unfolding.done.seconds += watch.seconds();
            }
        }
        // A replay does not run what is folded by then: the runner never holds it.
        let held = self.runner.context();
        let slots = if run {
            held.slots()
        } else {
            held.memory_slots() + ids.len()
        };
        self.peak_slots = self.peak_slots.max(slots);
        if chosen.is_empty() {
            return Ok(None);
        }
        let done = &mut self.unfolding.done;
        done.times += 1;
        done.pages_read += chosen.len();
        done.tokens_read += ids.len();
        done.slots_peak = done.slots_peak.max(ids.len());
        Ok(Some(Event::Unfolded {
            pages: chosen.to_vec(),
            tokens: ids.len(),
            context_slots: slots,
        }))
    }

    /// Takes what was read again away from in front of the open chunk, which is to stay: its own tokens are run anew, at the
    /// positions that they will have for good.
    pub(super) async fn settle_open(&mut self) -> Result<()> {
        if self.runner.context().unfolded_slots() == 0 {
            return Ok(());
        }
        let own = self.open_tokens();
        self.runner.drop_open();
        if own > 0 {
            self.runner.watch_pages(false)?;
            let ids = &self.tokens[self.cursor - own..self.cursor];
            let run = self.runner.extend(ids, Want::Nothing).await;
            self.runner.watch_pages(self.unfolding.most > 0)?;
            run?;
        }
        Ok(())
    }
}
