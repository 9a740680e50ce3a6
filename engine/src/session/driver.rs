//! Drives a runner by journal operations, and keeps the figures.

use std::sync::Arc;

use super::ops::{self, Op, PartKind, chunker};
use super::stats::FoldSeconds;
use super::unfolding::Unfolding;
use super::{ContextMode, Event};
use crate::clock::Stopwatch;
use crate::config::FoldConfig;
use crate::page::{FontStack, PageRenderer};
use crate::runner::{DrawRequest, Drawn, Runner, Want};
use crate::text::{Chunker, Tokenizer};
use crate::{Error, Result};

/// The folding side of a session: what is needed only when pages are drawn.
struct Folding {
    config: FoldConfig,
    pages: PageRenderer,
    /// Of the present part; `None` in a raw part.
    chunker: Option<Chunker>,
}

/// A runner, the tokens that it has read or is about to, and the journal of what it did with them.
pub(crate) struct Driver {
    pub(crate) runner: Box<dyn Runner>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) mode: ContextMode,
    folding: Option<Folding>,
    /// All token ids, BOS first; those from `cursor` on are not read yet.
    pub(crate) tokens: Vec<u32>,
    pub(crate) cursor: usize,
    pub(crate) ops: Vec<Op>,
    pub(crate) part: PartKind,
    /// Next-token logits after the last operation that was asked for them; empty when the runner keeps them.
    pub(crate) logits: Vec<f32>,
    pub(crate) peak_slots: usize,
    pub(crate) folds: usize,
    pub(crate) seconds: FoldSeconds,
    pub(crate) unfolding: Unfolding,
    /// Devices lost so far.
    lost: usize,
}

/// A device that is lost again and again is broken.
const MOST_LOSSES: usize = 8;

impl Driver {
    /// Takes a runner and empties it.
    ///
    /// # Errors
    /// Folding asked of a text-only model, or a tokenizer with ids outside the model's vocabulary.
    pub(crate) fn new(
        mut runner: Box<dyn Runner>,
        tokenizer: Arc<Tokenizer>,
        fonts: FontStack,
        mode: ContextMode,
    ) -> Result<Self> {
        let config = runner.config();
        let folding = match (mode, &config.fold) {
            (ContextMode::Full, _) => None,
            (ContextMode::Folded, None) => return Err(ops::cannot_fold()),
            (ContextMode::Folded, Some(fold)) => Some(Folding {
                config: fold.clone(),
                pages: PageRenderer::new(fold, fonts),
                chunker: None,
            }),
        };
        if tokenizer.vocab_size() > config.text.vocab_size {
            return Err(Error::Argument(format!(
                "tokenizer.json has {} ids but the model's vocab_size is {}: they do not belong together",
                tokenizer.vocab_size(),
                config.text.vocab_size
            )));
        }
        runner.reset();
        Ok(Self {
            runner,
            tokenizer,
            mode,
            folding,
            tokens: Vec::new(),
            cursor: 0,
            ops: Vec::new(),
            part: PartKind::Raw,
            logits: Vec::new(),
            peak_slots: 0,
            folds: 0,
            seconds: FoldSeconds::default(),
            unfolding: Unfolding::default(),
            lost: 0,
        })
    }

    /// The folding configuration; `None` in full mode.
    pub(crate) fn fold_config(&self) -> Option<&FoldConfig> {
        self.folding.as_ref().map(|f| &f.config)
    }

    /// Whether an open chunk's text must have been run before it is folded.
    pub(crate) fn sees_text(&self) -> bool {
        self.fold_config().is_some_and(|f| f.visual_sees_text)
    }

    /// Tokens in the open chunk, run or not.
    pub(crate) fn open_tokens(&self) -> usize {
        match self.folding.as_ref().and_then(|f| f.chunker.as_ref()) {
            Some(chunker) => chunker.len(),
            None => self.runner.context().open_slots(),
        }
    }

    /// Whether `id` may still join the open chunk.
    pub(crate) fn fits(&self, id: u32) -> bool {
        match self.folding.as_ref().and_then(|f| f.chunker.as_ref()) {
            Some(chunker) => chunker.is_empty() || chunker.fits(self.tokenizer.token_bytes(id)),
            None => true,
        }
    }

    /// Carries out `op` and writes it into the journal; logits are kept when `want` asks for them.
    ///
    /// `run = false` lets tokens join the open chunk without running them: for replaying chunks that are folded later.
    ///
    /// # Errors
    /// As the runner's; the journal and the context are then unchanged (but for extensions already counted). A lost
    /// device is one only when the runner cannot get another.
    pub(crate) async fn apply(&mut self, op: Op, want: Want, run: bool) -> Result<Vec<Event>> {
        loop {
            // Recording only adds operations, or repeats the last one: this is enough to take it back.
            let (length, last) = (self.ops.len(), self.ops.last().cloned());
            match self.try_apply(op.clone(), want, run).await {
                Err(Error::DeviceLost(what)) => {
                    let mut before = self.ops.clone();
                    before.truncate(length.saturating_sub(1));
                    before.extend(last);
                    self.recover(before, what).await?;
                }
                done => return done,
            }
        }
    }

    /// Draws the next token on the runner's device; `None` when the caller must draw from [`Self::logits`].
    ///
    /// # Errors
    /// As the runner's.
    pub(crate) async fn draw(&mut self, request: &DrawRequest<'_>) -> Result<Option<Drawn>> {
        loop {
            let drawn = match self.runner.draw(request).await {
                Ok(None) => self.runner.kept_logits().await.map(|logits| {
                    self.logits = logits.data;
                    None
                }),
                drawn => drawn,
            };
            match drawn {
                Err(Error::DeviceLost(what)) => self.recover(self.ops.clone(), what).await?,
                drawn => return drawn,
            }
        }
    }

    /// After a lost device: a fresh one, and the journal `ops` once more from this host's copy of the tokens. A device that
    /// is lost meanwhile is replaced, too.
    pub(super) async fn recover(&mut self, ops: Vec<Op>, mut what: String) -> Result<()> {
        let (peak, seconds, again) = (self.peak_slots, self.seconds, self.unfolding.done.seconds);
        let failed = loop {
            self.lost += 1;
            if self.lost > MOST_LOSSES {
                break Error::DeviceLost(what);
            }
            let replayed = match self.runner.recover().await {
                Ok(true) => self.replay(&ops).await,
                Ok(false) | Err(Error::NoGpu(_) | Error::GpuBelowFloor(_)) => break Error::DeviceLost(what),
                Err(error) => Err(error),
            };
            match replayed {
                Err(Error::DeviceLost(again)) => what = again,
                Err(error) => break error,
                Ok(()) => {
                    (self.peak_slots, self.seconds, self.unfolding.done.seconds) = (peak, seconds, again);
                    return Ok(());
                }
            }
        };
        // The text is not lost with the device: the journal stays what it was, for a session file.
        self.cursor = ops.iter().filter_map(Op::tokens).sum();
        self.ops = ops;
        Err(failed)
    }

    /// Carries out `ops` from the start on an empty runner.
    async fn replay(&mut self, ops: &[Op]) -> Result<()> {
        (self.cursor, self.folds, self.part) = (0, 0, PartKind::Raw);
        self.ops.clear();
        self.unfolding.pages.clear();
        self.unfolding.done = Default::default();
        if let Some(folding) = &mut self.folding {
            folding.chunker = None;
        }
        let last = ops.iter().rposition(Op::computes);
        for (i, op) in ops.iter().enumerate() {
            let run = self.must_run(&ops[i + 1..]);
            let want = if Some(i) == last { Want::Kept } else { Want::Nothing };
            self.try_apply(op.clone(), want, run).await?;
        }
        Ok(())
    }

    /// Whether text must be run that `later` operations follow: what is folded need not be, unless its page sees it, or what
    /// it asks for is still to be unfolded.
    pub(crate) fn must_run<'a>(&self, later: impl IntoIterator<Item = &'a Op>) -> bool {
        let mut later = later.into_iter();
        let closing = later.find(|op| matches!(op, Op::Fold { .. } | Op::Keep));
        let mut asks = || self.unfolding.most > 0 && !later.any(|op| matches!(op, Op::Unfold { .. }));
        self.sees_text() || !matches!(closing, Some(Op::Fold { .. })) || asks()
    }

    async fn try_apply(&mut self, op: Op, want: Want, run: bool) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        match &op {
            Op::Part { kind } => {
                self.settle_open().await?;
                self.part = *kind;
                if let Some(folding) = &mut self.folding {
                    folding.chunker = (*kind != PartKind::Raw).then(|| chunker(&folding.config));
                }
            }
            Op::Extend { tokens, times } => {
                for i in 0..*times {
                    self.extend(*tokens, if i + 1 == *times { want } else { Want::Nothing }, run)
                        .await?;
                    ops::record(
                        &mut self.ops,
                        Op::Extend {
                            tokens: *tokens,
                            times: 1,
                        },
                    );
                }
                return Ok(events);
            }
            Op::Keep => {
                self.settle_open().await?;
                self.runner.keep_open();
                if let Some(chunker) = self.folding.as_mut().and_then(|f| f.chunker.as_mut()) {
                    chunker.close();
                }
            }
            Op::Fold { tokens } => events = self.fold(tokens, want).await?,
            Op::Unfold { pages } => events.extend(self.read_again(pages, want, run).await?),
        }
        ops::record(&mut self.ops, op);
        Ok(events)
    }

    async fn extend(&mut self, n: usize, want: Want, run: bool) -> Result<()> {
        let ids = &self.tokens[self.cursor..self.cursor + n];
        if run {
            let logits = self.runner.extend(ids, want).await?;
            if want != Want::Nothing {
                self.logits = logits.data;
            }
        }
        if let Some(chunker) = self.folding.as_mut().and_then(|f| f.chunker.as_mut()) {
            for &id in ids {
                chunker.push(id, self.tokenizer.token_bytes(id));
            }
        }
        self.cursor += n;
        self.peak_slots = self.peak_slots.max(self.runner.context().slots());
        Ok(())
    }

    async fn fold(&mut self, lengths: &[usize], want: Want) -> Result<Vec<Event>> {
        let tint = self.part.tint();
        let Some((folding, mut chunker)) = self.folding.as_mut().and_then(|f| f.chunker.clone().map(|c| (f, c))) else {
            return Err(ops::cannot_fold());
        };
        let watch = Stopwatch::start();
        let (mut cursor, mut start) = (self.cursor, self.cursor - chunker.len());
        let mut stretches = Vec::new();
        let (mut pages, mut texts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for &n in lengths {
            for &id in &self.tokens[cursor..cursor + n] {
                chunker.push(id, self.tokenizer.token_bytes(id));
            }
            cursor += n;
            stretches.push(start..cursor);
            start = cursor;
            let chunk = chunker.close();
            ids.push(chunk.ids);
            pages.push(folding.pages.render(&chunk.text, tint));
            texts.push(chunk.text);
        }
        self.seconds.render += watch.seconds();
        let open = self.runner.context().open_slots();
        self.runner.page_text(&ids);
        let folded = self.runner.fold(&pages, want).await?;
        // Committed only now: a fold that found no room leaves everything as it was.
        folding.chunker = Some(chunker);
        self.cursor = cursor;
        self.unfolding.pages.extend(stretches);
        self.seconds.encode += folded.encode_s;
        self.seconds.prefill += folded.prefill_s;
        if want != Want::Nothing {
            self.logits = folded.logits.data;
        }
        let slots = self.runner.context().slots();
        // With `visual_sees_text` the page's tokens are computed while the text that they replace is still there.
        let held = if folding.config.visual_sees_text {
            slots + open
        } else {
            slots
        };
        self.peak_slots = self.peak_slots.max(held);
        let mut events = Vec::new();
        for (i, (image, text)) in pages.into_iter().zip(texts).enumerate() {
            let index = self.folds;
            self.folds += 1;
            let taken = folded.slots.get(i).copied().unwrap_or(0);
            events.push(Event::Page { index, text, image });
            events.push(Event::Folded {
                index,
                tokens: ids[i].len(),
                slots: taken,
                context_slots: slots,
            });
        }
        Ok(events)
    }
}
