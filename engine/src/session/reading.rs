//! A session's given text: prompts, turns, and journals that are replayed.

use super::generate::Phase;
use super::ops::{Op, PartKind};
use super::plan::{Part, plan};
use super::{Event, FinishReason, Session, StopMatcher};
use crate::runner::Want;
use crate::text::Detokenizer;
use crate::{Error, Result};

impl Session {
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
        let bos = self.driver.runner.config().bos_token_id;
        self.bos = usize::from(tokens.first() == Some(&bos));
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

    /// Carries out the next operation of reading.
    pub(super) async fn read(&mut self) -> Result<()> {
        if let Some(op) = self.queue.pop_front() {
            let later = self.queue.iter().any(Op::computes);
            let last = !later && self.parts.is_empty();
            let run = self.driver.must_run(&self.queue);
            let want = if last && op.computes() {
                Want::Kept
            } else {
                Want::Nothing
            };
            let before = self.driver.cursor;
            let events = match self.driver.apply(op.clone(), want, run).await {
                Ok(events) => events,
                Err(error) => {
                    // What was not carried out waits for another try, or for a session file.
                    let done = self.driver.cursor - before;
                    self.queue.push_front(match op {
                        Op::Extend { tokens, times } => Op::Extend {
                            tokens,
                            times: times - done / tokens.max(1),
                        },
                        op => op,
                    });
                    return Err(error);
                }
            };
            self.events.extend(events);
            if self.driver.cursor > before {
                self.prompt_tokens = self.driver.cursor.saturating_sub(self.bos + self.generated);
                let total = self.driver.tokens.len() + self.parts.iter().map(|p| p.ids.len()).sum::<usize>();
                self.events.push_back(Event::Loading {
                    done: self.driver.cursor,
                    total,
                });
            }
        } else if self.full {
            self.phase = Phase::Ended(FinishReason::ContextFull);
        } else if let Some(part) = self.parts.pop_front() {
            self.queue.extend(plan(&self.driver, &part));
            self.driver.tokens.extend(part.ids);
            // What was withheld or incomplete belongs to the text before.
            self.detokenizer = Detokenizer::default();
            self.stop = StopMatcher::new(&self.settings.stop);
        } else if self.driver.tokens.is_empty() {
            // Nothing was given: something has to predict the first token.
            self.push_bos();
        } else {
            self.phase = Phase::Drawing;
        }
        Ok(())
    }
}
