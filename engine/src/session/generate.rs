//! Writing text: the session as a state machine that is pulled for events.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::Stopwatch;
use super::driver::Driver;
use super::ops::{Op, PartKind};
use super::plan::{Part, TEXT_BLOCK, plan};
use super::{ContextMode, Event, FinishReason, REPETITION_WINDOW, Sampler, Sampling, Stats, StopMatcher};
use crate::context::Context;
use crate::page::FontStack;
use crate::runner::{Runner, Want};
use crate::text::{Detokenizer, Tokenizer};
use crate::{Error, Result};

/// How a session writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Strings that end the text; they are not shown themselves.
    pub stop: Vec<String>,
    /// Never draw an end-of-text token.
    pub ignore_eos: bool,
    /// Most tokens to write; 0 only reads.
    pub max_new_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            stop: Vec::new(),
            ignore_eos: false,
            max_new_tokens: 256,
        }
    }
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
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
/// The last visual token's output predicts the first token after a fold. When a drawn token's text would not fit on
/// the page, that token is dropped, the chunk is folded and the next token is drawn anew from the last visual token's
/// logits, so that generation and scoring see the same conditional probabilities.
pub struct Session {
    pub(super) driver: Driver,
    pub(super) sampler: Sampler,
    pub(super) settings: Settings,
    pub(super) stop: StopMatcher,
    detokenizer: Detokenizer,
    parts: VecDeque<Part>,
    pub(super) queue: VecDeque<Op>,
    events: VecDeque<Event>,
    phase: Phase,
    /// What the last text ended with; a full context stays full.
    pub(super) full: bool,
    prompt_tokens: usize,
    generated: usize,
    written_now: usize,
    watch: Stopwatch,
    first_token_s: Option<f64>,
    last_token_s: f64,
}

impl Session {
    /// A session at the start of a document: one raw BOS token.
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
        let bos = session.driver.runner.config().bos_token_id;
        session.driver.tokens.push(bos);
        session.queue.extend([
            Op::Part { kind: PartKind::Raw },
            Op::Extend { tokens: 1, times: 1 },
            Op::Keep,
        ]);
        Ok(session)
    }

    pub(super) fn blank(
        runner: Box<dyn Runner>,
        tokenizer: Arc<Tokenizer>,
        fonts: FontStack,
        mode: ContextMode,
        settings: Settings,
    ) -> Result<Self> {
        Ok(Self {
            driver: Driver::new(runner, tokenizer, fonts, mode)?,
            sampler: Sampler::new(settings.sampling.clone())?,
            stop: StopMatcher::new(&settings.stop),
            settings,
            detokenizer: Detokenizer::default(),
            parts: VecDeque::new(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            phase: Phase::Reading,
            full: false,
            prompt_tokens: 0,
            generated: 0,
            written_now: 0,
            watch: Stopwatch::start(),
            first_token_s: None,
            last_token_s: 0.0,
        })
    }

    /// Puts a journal and its tokens before everything else, to be replayed.
    pub(super) fn replay(&mut self, tokens: Vec<u32>, ops: Vec<Op>) {
        let response = ops
            .iter()
            .rposition(|op| matches!(op, Op::Part { .. }))
            .map_or(0, |at| {
                let is_response = matches!(
                    ops[at],
                    Op::Part {
                        kind: PartKind::Response
                    }
                );
                if is_response {
                    ops[at..].iter().filter_map(Op::tokens).sum()
                } else {
                    0
                }
            });
        for &id in &tokens[tokens.len() - response..] {
            let text = self.detokenizer.push(self.driver.tokenizer.token_bytes(id));
            self.stop.push(&text);
        }
        self.driver.tokens = tokens;
        self.queue.extend(ops);
    }

    /// Appends text to be read before the response. Empty parts change nothing.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn push(&mut self, kind: PartKind, ids: Vec<u32>) -> Result<()> {
        let vocab = self.driver.runner.config().text.vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Argument(format!(
                "token id {id} is outside the vocabulary of {vocab}"
            )));
        }
        if !ids.is_empty() {
            self.parts.push_back(Part { kind, ids });
        }
        Ok(())
    }

    /// After [`Event::Done`]: lets the session go on (with what was [pushed](Self::push), if anything) for another
    /// `max_new_tokens` tokens.
    pub fn resume(&mut self, max_new_tokens: usize) {
        self.settings.max_new_tokens = max_new_tokens;
        self.written_now = 0;
        if self.phase == Phase::Over {
            self.phase = Phase::Reading;
        }
    }

    /// Ends the text: the next events are the statistics and the end.
    pub fn cancel(&mut self) {
        if !matches!(self.phase, Phase::Ended(_) | Phase::Over) {
            if let Phase::Running(id) = self.phase {
                // Shown, so it belongs to the text and to a session file. A failure would be told to nobody who waits
                // for more text; the unread token then stays out of the file.
                self.full |= self.run_token(id).is_err();
            }
            self.phase = Phase::Ended(FinishReason::Cancelled);
        }
    }

    /// The next event; `None` after [`Event::Done`].
    ///
    /// # Errors
    /// As the runner's, except that a full context is not an error but an end.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let step = match self.phase {
                Phase::Over => return Ok(None),
                Phase::Reading => self.read(),
                Phase::Drawing => self.draw(),
                Phase::Running(id) => self.run_token(id),
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

    fn read(&mut self) -> Result<()> {
        if let Some(op) = self.queue.pop_front() {
            let later = self.queue.iter().any(Op::computes);
            let last = !later && self.parts.is_empty();
            // Text that is folded later in the journal need not be run, unless its page sees it.
            let closing = self.queue.iter().find(|op| matches!(op, Op::Fold { .. } | Op::Keep));
            let run = self.driver.sees_text() || !matches!(closing, Some(Op::Fold { .. }));
            let want = if last && op.computes() {
                Want::Last
            } else {
                Want::Nothing
            };
            let before = self.driver.cursor;
            let events = self.driver.apply(op, want, run)?;
            self.events.extend(events);
            if self.driver.cursor > before {
                self.prompt_tokens = self.driver.cursor - 1 - self.generated;
                let total = self.driver.tokens.len() + self.parts.iter().map(|p| p.ids.len()).sum::<usize>();
                self.events.push_back(Event::Loading {
                    done: self.driver.cursor,
                    total,
                });
            }
        } else if let Some(part) = self.parts.pop_front() {
            self.queue.extend(plan(&self.driver, &part));
            self.driver.tokens.extend(part.ids);
            // What was withheld or incomplete belongs to the text before.
            self.detokenizer = Detokenizer::default();
            self.stop = StopMatcher::new(&self.settings.stop);
        } else {
            self.phase = if self.full {
                Phase::Ended(FinishReason::ContextFull)
            } else {
                Phase::Drawing
            };
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        if self.written_now >= self.settings.max_new_tokens {
            self.phase = Phase::Ended(FinishReason::Length);
            return Ok(());
        }
        if self.driver.part != PartKind::Response {
            self.driver.apply(
                Op::Part {
                    kind: PartKind::Response,
                },
                Want::Nothing,
                true,
            )?;
        }
        let eos = self.driver.runner.config().eos_token_id.clone();
        let recent = &self.driver.tokens[self.driver.tokens.len().saturating_sub(REPETITION_WINDOW)..];
        let banned: &[u32] = if self.settings.ignore_eos { &eos } else { &[] };
        let drawn = self.sampler.draw(&self.driver.logits, recent, banned)?;
        if eos.contains(&drawn.id) {
            self.phase = Phase::Ended(FinishReason::Eos);
            return Ok(());
        }
        if !self.driver.fits(drawn.id) {
            let events = self.driver.apply(Op::Fold { tokens: vec![0] }, Want::Last, true)?;
            self.events.extend(events);
            return Ok(());
        }
        self.driver.tokens.push(drawn.id);
        self.generated += 1;
        self.written_now += 1;
        self.last_token_s = self.watch.seconds();
        self.first_token_s.get_or_insert(self.last_token_s);
        let whole = self.detokenizer.push(self.driver.tokenizer.token_bytes(drawn.id));
        let (text, stopped) = self.stop.push(&whole);
        self.events.push_back(Event::Token {
            id: drawn.id,
            text,
            logprob: drawn.logprob,
        });
        self.phase = Phase::Running(drawn.id);
        if stopped {
            match self.run_token(drawn.id) {
                Err(Error::ContextFull { .. }) => self.full = true,
                other => other?,
            }
            self.phase = Phase::Ended(FinishReason::Stop);
        }
        Ok(())
    }

    /// Runs the shown token, and folds when it was the chunk's K-th.
    fn run_token(&mut self, id: u32) -> Result<()> {
        debug_assert_eq!(self.driver.tokens.get(self.driver.cursor), Some(&id));
        self.phase = Phase::Drawing;
        let one = Op::Extend { tokens: 1, times: 1 };
        match self.driver.fold_config().map(|f| f.chunk_tokens) {
            Some(k) if self.driver.open_tokens() + 1 >= k => {
                // The K-th token's own output is used by nobody unless its page sees it.
                let sees = self.driver.sees_text();
                if sees {
                    self.driver.apply(one, Want::Nothing, true)?;
                }
                let events = self.driver.apply(
                    Op::Fold {
                        tokens: vec![usize::from(!sees)],
                    },
                    Want::Last,
                    true,
                )?;
                self.events.extend(events);
            }
            Some(_) => drop(self.driver.apply(one, Want::Last, true)?),
            None => {
                self.driver.apply(one, Want::Last, true)?;
                if self.driver.runner.context().open_slots() >= TEXT_BLOCK {
                    self.driver.apply(Op::Keep, Want::Nothing, true)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, reason: FinishReason) {
        let mut text = String::new();
        if reason != FinishReason::Stop {
            if reason == FinishReason::Eos {
                // The model itself ended here: an incomplete character will never be completed.
                let rest = self.detokenizer.finish();
                text = self.stop.push(&rest).0;
            }
            text += &self.stop.show_held();
        }
        self.events.push_back(Event::Stats(self.stats(reason)));
        self.events.push_back(Event::Done { reason, text });
        self.phase = Phase::Over;
    }

    /// The figures so far; `model` is left empty, since a session does not know its model's name.
    pub fn stats(&self, reason: FinishReason) -> Stats {
        let runner = &self.driver.runner;
        let per_slot = runner.kv_bytes_per_slot();
        let decode_s = self.last_token_s - self.first_token_s.unwrap_or(0.0);
        let peak = self.driver.peak_slots;
        Stats {
            model: String::new(),
            device: runner.device(),
            context: self.driver.mode,
            prompt_tokens: self.prompt_tokens,
            generated_tokens: self.generated,
            folds: self.driver.folds,
            context_slots: runner.context().slots(),
            peak_context_slots: peak,
            kv_bytes_peak: peak * per_slot,
            kv_bytes_full: (1 + self.prompt_tokens + self.generated) * per_slot,
            weight_bytes: runner.weight_bytes(),
            time_to_first_token_s: self.first_token_s,
            decode_tokens_per_s: (self.generated > 1 && decode_s > 0.0).then(|| (self.generated - 1) as f64 / decode_s),
            fold_s: self.driver.seconds,
            finish_reason: reason,
            seed: self.settings.sampling.seed,
        }
    }

    /// All token ids that the document consists of, BOS first.
    pub fn tokens(&self) -> &[u32] {
        &self.driver.tokens
    }

    /// The bookkeeping of the slots held now.
    pub fn context(&self) -> &Context {
        self.driver.runner.context()
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
        self.next_event().transpose()
    }
}
