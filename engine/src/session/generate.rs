//! The session: a state machine that is pulled for events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::driver::Driver;
use super::ops::{self, Op, PartKind};
use super::plan::Part;
use super::{ContextMode, Event, FinishReason, Sampler, Settings, StopMatcher};
use crate::clock::Stopwatch;
use crate::context::Context;
use crate::page::FontStack;
use crate::runner::Runner;
use crate::text::{Detokenizer, Tokenizer};
use crate::{Error, Result, Wait};

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Given text (or a journal) is being read.
    Reading,
    /// The next token is to be drawn.
    Drawing,
    /// The drawn token has been shown and is to be run.
    Running(u32),
    /// The text ended.
    Ended(FinishReason),
    /// Everything has been told.
    Over,
}

/// One document in the making: reads prompts, writes, folds as it goes.
///
/// The last visual token's output predicts the first token after a fold, or that of what is read again behind it. When a
/// drawn token's text would not fit on the page, that token is dropped, the chunk is folded and the next token is drawn
/// anew from those logits, so that generation and scoring see the same conditional probabilities.
/// (Scoring divides a text by its ids alone: there a newly drawn token that would still have fit on the full page
/// belongs to it. That can only happen on pages that fill before their chunk has K tokens.)
pub struct Session {
    pub(super) driver: Driver,
    pub(super) sampler: Sampler,
    pub(super) settings: Settings,
    pub(super) stop: StopMatcher,
    pub(super) detokenizer: Detokenizer,
    pub(super) parts: VecDeque<Part>,
    pub(super) queue: VecDeque<Op>,
    pub(super) events: VecDeque<Event>,
    pub(super) phase: Phase,
    /// What the last text ended with; a full context stays full.
    pub(super) full: bool,
    /// BOS tokens that the document starts with: one or none.
    pub(super) bos: usize,
    pub(super) prompt_tokens: usize,
    pub(super) generated: usize,
    pub(super) written_now: usize,
    pub(super) watch: Stopwatch,
    pub(super) first_token_s: Option<f64>,
    pub(super) last_token_s: f64,
}

impl Session {
    /// A session at the start of a document: one raw BOS token, or nothing for a text-only model that was trained without.
    ///
    /// # Errors
    /// Settings out of range; folding asked of a text-only model; a tokenizer that does not belong to the model.
    pub fn new(
        runner: Box<dyn Runner>,
        tokenizer: Arc<Tokenizer>,
        fonts: FontStack,
        mode: ContextMode,
        settings: Settings,
    ) -> Result<Self> {
        let mut session = Self::blank(runner, tokenizer, fonts, mode, settings)?;
        if ops::starts_with_bos(session.driver.runner.config(), &session.driver.tokenizer) {
            session.push_bos();
        }
        Ok(session)
    }

    /// Has BOS read before all else.
    pub(super) fn push_bos(&mut self) {
        let bos = self.driver.runner.config().bos_token_id;
        self.driver.tokens.push(bos);
        self.queue.extend([
            Op::Part { kind: PartKind::Raw },
            Op::Extend { tokens: 1, times: 1 },
            Op::Keep,
        ]);
        self.bos = 1;
    }

    pub(super) fn blank(
        runner: Box<dyn Runner>,
        tokenizer: Arc<Tokenizer>,
        fonts: FontStack,
        mode: ContextMode,
        settings: Settings,
    ) -> Result<Self> {
        let mut driver = Driver::new(runner, tokenizer, fonts, mode)?;
        driver.set_unfold(settings.unfold)?;
        Ok(Self {
            driver,
            sampler: Sampler::new(settings.sampling.clone())?,
            stop: StopMatcher::new(&settings.stop),
            settings,
            detokenizer: Detokenizer::default(),
            parts: VecDeque::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            phase: Phase::Reading,
            full: false,
            bos: 0,
            prompt_tokens: 0,
            generated: 0,
            written_now: 0,
            watch: Stopwatch::start(),
            first_token_s: None,
            last_token_s: 0.0,
        })
    }

    /// After [`Event::Done`]: lets the session go on (with what was [pushed](Self::push), if anything) for another
    /// `max_new_tokens` tokens.
    pub fn resume(&mut self, max_new_tokens: usize) {
        self.settings.max_new_tokens = max_new_tokens;
        self.written_now = 0;
        if self.phase == Phase::Over {
            // A full context stays full: nothing more can be read.
            self.phase = if self.full {
                Phase::Ended(FinishReason::ContextFull)
            } else {
                Phase::Reading
            };
        }
    }

    /// Runs a token that was shown but not read yet, so that a session file holds it.
    ///
    /// # Errors
    /// As the runner's; a full context is an end, not an error.
    pub async fn settle(&mut self) -> Result<()> {
        let Phase::Running(id) = self.phase else {
            return Ok(());
        };
        match self.run_token(id).await {
            Err(Error::ContextFull { .. }) => {
                self.full = true;
                self.phase = Phase::Ended(FinishReason::ContextFull);
                Ok(())
            }
            other => other,
        }
    }

    /// Ends the text: the next events are the statistics and the end.
    pub async fn cancel(&mut self) {
        if !matches!(self.phase, Phase::Ended(_) | Phase::Over) {
            if let Phase::Running(id) = self.phase {
                // Shown, so it belongs to the text and to a session file. A failure would be told to nobody who waits
                // for more text; the unread token then stays out of the file.
                self.full |= self.run_token(id).await.is_err();
            }
            self.phase = Phase::Ended(FinishReason::Cancelled);
        }
    }

    /// The next event; `None` after [`Event::Done`]. Outside a browser a session is an [`Iterator`], too.
    ///
    /// # Errors
    /// As the runner's, except that a full context is not an error but an end.
    pub async fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let step = match self.phase {
                Phase::Over => return Ok(None),
                Phase::Reading => self.read().await,
                Phase::Drawing => self.draw().await,
                Phase::Running(id) => self.run_token(id).await,
                Phase::Ended(reason) => {
                    self.end(reason);
                    Ok(())
                }
            };
            match step {
                Ok(()) => {}
                Err(Error::ContextFull { .. }) => {
                    self.full = true;
                    self.phase = Phase::Ended(FinishReason::ContextFull);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All token ids that the document consists of, BOS first (if there is one).
    pub fn tokens(&self) -> &[u32] {
        &self.driver.tokens
    }

    /// The bookkeeping of the slots held now.
    pub fn context(&self) -> &Context {
        self.driver.runner.context()
    }

    /// The runner.
    pub fn runner(&self) -> &dyn Runner {
        self.driver.runner.as_ref()
    }

    /// Tokens of given text that were not read; not 0 after the end only when they did not fit or the text was cancelled.
    pub fn unread_tokens(&self) -> usize {
        if self.written_now > 0 {
            // All of it was read before the first token was drawn; the last token drawn is not given text.
            return 0;
        }
        let waiting: usize = self.parts.iter().map(|part| part.ids.len()).sum();
        self.driver.tokens.len() - self.driver.cursor + waiting
    }

    /// Whether given text is still waiting to be read.
    pub(super) fn unread_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Gives the runner back.
    pub fn into_runner(self) -> Box<dyn Runner> {
        self.driver.runner
    }
}

impl Iterator for Session {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().wait().transpose()
    }
}
