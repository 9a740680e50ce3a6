//! A session's own text: drawing tokens, running them, folding, ending.

use super::generate::Phase;
use super::ops::{Op, PartKind};
use super::plan::TEXT_BLOCK;
use super::{Event, FinishReason, REPETITION_WINDOW, Session, Stats, UnfoldStats};
use crate::runner::Want;
use crate::{Error, Result};

impl Session {
    /// Draws the next token and shows it.
    pub(super) async fn draw(&mut self) -> Result<()> {
        if self.written_now >= self.settings.max_new_tokens {
            self.phase = Phase::Ended(FinishReason::Length);
            return Ok(());
        }
        if self.driver.part != PartKind::Response {
            let part = Op::Part {
                kind: PartKind::Response,
            };
            self.driver.apply(part, Want::Nothing, true).await?;
        }
        let unfolded = self.driver.unfold().await?;
        self.events.extend(unfolded);
        let eos = self.driver.runner.config().eos_token_id.clone();
        let recent = &self.driver.tokens[self.driver.tokens.len().saturating_sub(REPETITION_WINDOW)..];
        let banned: &[u32] = if self.settings.ignore_eos { &eos } else { &[] };
        let drawn = if self.driver.logits.is_empty() {
            let recent = recent.to_vec();
            let position = self.sampler.position();
            let request = self.sampler.request(&recent, banned);
            match self.driver.draw(&request).await? {
                Some(drawn) => drawn,
                None => {
                    self.sampler.seek(position);
                    self.sampler.draw(&self.driver.logits, &recent, banned)?
                }
            }
        } else {
            self.sampler.draw(&self.driver.logits, recent, banned)?
        };
        if eos.contains(&drawn.id) {
            self.phase = Phase::Ended(FinishReason::Eos);
            return Ok(());
        }
        if !self.driver.fits(drawn.id) {
            let events = self
                .driver
                .apply(Op::Fold { tokens: vec![0] }, Want::Kept, true)
                .await?;
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
            match self.run_token(drawn.id).await {
                Err(Error::ContextFull { .. }) => self.full = true,
                other => other?,
            }
            self.phase = Phase::Ended(FinishReason::Stop);
        }
        Ok(())
    }

    /// Runs the shown token, and folds when it was the chunk's K-th.
    pub(super) async fn run_token(&mut self, id: u32) -> Result<()> {
        let unread = self.driver.cursor < self.driver.tokens.len();
        debug_assert!(!unread || self.driver.tokens.get(self.driver.cursor) == Some(&id));
        let one = Op::Extend { tokens: 1, times: 1 };
        match self.driver.fold_config().map(|f| f.chunk_tokens) {
            Some(k) if self.driver.open_tokens() + 1 >= k => {
                // The K-th token's own output is used by nobody unless its page sees it.
                let sees = self.driver.sees_text();
                // A second try, after a fold that failed, finds it read.
                if sees && unread {
                    self.driver.apply(one, Want::Nothing, true).await?;
                }
                let fold = Op::Fold {
                    tokens: vec![usize::from(!sees)],
                };
                let events = self.driver.apply(fold, Want::Kept, true).await?;
                self.events.extend(events);
            }
            Some(_) => drop(self.driver.apply(one, Want::Kept, true).await?),
            None => {
                self.driver.apply(one, Want::Kept, true).await?;
                if self.driver.runner.context().open_slots() >= TEXT_BLOCK {
                    self.driver.apply(Op::Keep, Want::Nothing, true).await?;
                }
            }
        }
        // Only now: after a failure, the token is run once more.
        self.phase = Phase::Drawing;
        Ok(())
    }

    /// Tells the end.
    pub(super) fn end(&mut self, reason: FinishReason) {
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
            kv_bytes_full: (self.bos + self.prompt_tokens + self.generated) * per_slot,
            weight_bytes: runner.weight_bytes(),
            time_to_first_token_s: self.first_token_s,
            decode_tokens_per_s: (self.generated > 1 && decode_s > 0.0).then(|| (self.generated - 1) as f64 / decode_s),
            fold_s: self.driver.seconds,
            unfold: (self.settings.unfold > 0).then(|| UnfoldStats {
                pages: self.settings.unfold,
                kv_bytes_peak: self.driver.unfolding.done.slots_peak * per_slot,
                text_bytes: self.driver.unfolding.pages.iter().map(|page| 4 * page.len()).sum(),
                ..self.driver.unfolding.done
            }),
            finish_reason: reason,
            seed: self.settings.sampling.seed,
        }
    }
}
