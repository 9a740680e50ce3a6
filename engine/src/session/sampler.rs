//! Choosing the next token from logits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::runner::DrawRequest;
pub use crate::runner::Drawn;
use crate::{Error, Result};

/// How many of the last tokens the repetition penalty looks at (prompt included).
pub const REPETITION_WINDOW: usize = 256;

/// How tokens are drawn. The filters apply in the order of the fields, as in Hugging Face's `generate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Divides (positive) or multiplies (negative) the logits of the last [`REPETITION_WINDOW`] tokens; 1 is off.
    pub repetition_penalty: f64,
    /// Divides the logits; 0 takes the likeliest token (greedy), whatever the filters below say.
    pub temperature: f64,
    /// Keeps the `k` likeliest tokens; 0 is off.
    pub top_k: usize,
    /// Keeps the likeliest tokens until their probabilities add up to this; 1 is off.
    pub top_p: f64,
    /// Keeps tokens at least this fraction as likely as the likeliest; 0 is off.
    pub min_p: f64,
    /// Seed of the random numbers: same seed, same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            repetition_penalty: 1.0,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the value, what it is and what it may be.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, name: &str, value: f64, range: &str| {
            if ok {
                Ok(())
            } else {
                Err(Error::Argument(format!("{name} is {value}: it must be {range}")))
            }
        };
        let Self {
            repetition_penalty: penalty,
            temperature,
            top_p,
            min_p,
            ..
        } = *self;
        check(
            penalty.is_finite() && penalty > 0.0,
            "repetition penalty",
            penalty,
            "above 0 (1 is off)",
        )?;
        check(
            temperature.is_finite() && temperature >= 0.0,
            "temperature",
            temperature,
            "0 (greedy) or above",
        )?;
        check(
            top_p > 0.0 && top_p <= 1.0,
            "top-p",
            top_p,
            "above 0 and at most 1 (1 is off)",
        )?;
        check((0.0..=1.0).contains(&min_p), "min-p", min_p, "from 0 (off) to 1")
    }
}

/// Draws tokens: [`Sampling`] and the state of its random numbers.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Sampling,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its random numbers.
    ///
    /// # Errors
    /// As [`Sampling::validate`].
    pub fn new(settings: Sampling) -> Result<Self> {
        settings.validate()?;
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        Ok(Self { settings, rng })
    }

    /// The settings in force.
    pub fn settings(&self) -> &Sampling {
        &self.settings
    }

    /// Changes the settings; the random numbers go on where they are unless the seed is another.
    ///
    /// # Errors
    /// As [`Sampling::validate`].
    pub fn set(&mut self, settings: Sampling) -> Result<()> {
        if settings.seed == self.settings.seed {
            settings.validate()?;
            self.settings = settings;
            return Ok(());
        }
        *self = Self::new(settings)?;
        Ok(())
    }

    /// How far the random numbers have been used, in 32-bit words.
    pub fn position(&self) -> u64 {
        // 2^64 words are never drawn: a token takes two.
        self.rng.get_word_pos() as u64
    }

    /// Jumps to a [`Self::position`].
    pub fn seek(&mut self, position: u64) {
        self.rng.set_word_pos(u128::from(position));
    }

    /// Draws from `logits` (`[vocab]`), with `recent` tokens for the repetition penalty; `banned` ids are never drawn.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when no logit can be used.
    pub fn draw(&mut self, logits: &[f32], recent: &[u32], banned: &[u32]) -> Result<Drawn> {
        let mut scores: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        self.penalise(&mut scores, recent);
        for &id in banned {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = f64::NEG_INFINITY;
            }
        }
        let best = argmax(&scores).ok_or_else(|| Error::NotFinite("logits of the next token".into()))?;
        let index = if self.settings.temperature == 0.0 {
            best
        } else {
            self.draw_random(&scores, scores[best])
        };
        Ok(Drawn {
            id: index as u32,
            logprob: log_softmax(logits, index),
        })
    }

    /// What a runner that draws on its device must know; takes a random number when one is needed.
    pub fn request<'a>(&mut self, recent: &'a [u32], banned: &'a [u32]) -> DrawRequest<'a> {
        let s = &self.settings;
        let uniform = if s.temperature == 0.0 {
            0.0
        } else {
            // Rounding to f32 may give 1, which is outside.
            (self.rng.random::<f64>() as f32).min(1.0 - f32::EPSILON / 2.0)
        };
        DrawRequest {
            repetition_penalty: s.repetition_penalty,
            temperature: s.temperature,
            top_k: s.top_k,
            top_p: s.top_p,
            min_p: s.min_p,
            recent: &recent[recent.len().saturating_sub(REPETITION_WINDOW)..],
            banned,
            uniform,
        }
    }

    fn penalise(&self, scores: &mut [f64], recent: &[u32]) {
        let penalty = self.settings.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut seen = recent[recent.len().saturating_sub(REPETITION_WINDOW)..].to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = if *score > 0.0 {
                    *score / penalty
                } else {
                    *score * penalty
                };
            }
        }
    }

    fn draw_random(&mut self, scores: &[f64], best: f64) -> usize {
        let Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            ..
        } = self.settings;
        // Below e^-40 of the likeliest, all 150,000 tokens of a large vocabulary together weigh nothing.
        let mut kept: Vec<(usize, f64)> = scores
            .iter()
            .enumerate()
            .map(|(i, &s)| (i, (s - best) / temperature))
            .filter(|&(_, s)| s > -40.0)
            .map(|(i, s)| (i, s.exp()))
            .collect();
        kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if top_k > 0 {
            kept.truncate(top_k);
        }
        if top_p < 1.0 {
            let total: f64 = kept.iter().map(|k| k.1).sum();
            let mut sum = 0.0;
            let n = kept.iter().take_while(|k| {
                let before = sum;
                sum += k.1;
                before < top_p * total
            });
            let n = n.count().max(1);
            kept.truncate(n);
        }
        if min_p > 0.0 {
            kept.retain(|k| k.1 >= min_p);
        }
        let total: f64 = kept.iter().map(|k| k.1).sum();
        let mut left = self.rng.random::<f64>() * total;
        for &(index, weight) in &kept {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        kept.last().map_or(0, |k| k.0)
    }
}

/// Index of the largest finite value, the lowest of equals.
fn argmax(scores: &[f64]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (i, s) in scores.iter().enumerate() {
        if s.is_finite() && best.is_none_or(|b| *s > scores[b]) {
            best = Some(i);
        }
    }
    best
}

/// Log-probability in nats of `index` under `logits`, in f64.
pub fn log_softmax(logits: &[f32], index: usize) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max = f64::from(max);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    f64::from(logits[index]) - max - sum.ln()
}
