//! Fewer chunks at the start of a stage, until a step or until a loss is reached (spec section 5).

use super::ChunkRange;
use serde::{Deserialize, Serialize};

/// One entry of a stage's `curriculum`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumStep {
    /// It ends at this step of the stage.
    #[serde(default)]
    pub until_step: Option<u64>,
    /// It ends when the stage's loss (nats a token, a moving mean) is down to this.
    #[serde(default)]
    pub until_loss: Option<f64>,
    /// Chunks of each document until then.
    pub chunks: ChunkRange,
}

/// Steps between a loss that ends an entry and the first step without it: batches are made ahead, so the present ones
/// are drawn already, and a resumed run must draw the same.
pub const LAG: u64 = 32;

/// Steps over which the loss is averaged, roughly; none ends an entry sooner.
const WINDOW: u64 = 32;

/// Which entries have ended by their loss: part of a run's state, as it depends on the training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curriculum {
    /// `(stage, entry, first step without it, counted from the run's start)`.
    ended: Vec<(usize, usize, u64)>,
    /// The stage and entry that the mean below is of.
    of: (usize, usize),
    /// Steps in the mean.
    steps: u64,
    /// The moving mean's bits: JSON would round it.
    mean: u64,
}

impl Curriculum {
    /// The entry that holds at `stage_step` of stage number `stage`, `step` counted from the run's start; `None` after
    /// the last.
    pub fn entry(&self, entries: &[CurriculumStep], stage: usize, stage_step: u64, step: u64) -> Option<usize> {
        entries.iter().enumerate().position(|(i, entry)| {
            let by_step = entry.until_step.is_some_and(|until| stage_step >= until);
            let by_loss = self
                .ended
                .iter()
                .any(|&(s, e, from)| (s, e) == (stage, i) && step >= from);
            !by_step && !by_loss
        })
    }

    /// Counts the loss of step `step` (from the run's start), drawn under `entry` of `entries`.
    pub fn count(&mut self, entries: &[CurriculumStep], stage: usize, entry: usize, step: u64, loss: f64) {
        if !loss.is_finite() {
            return;
        }
        if self.of != (stage, entry) || self.steps == 0 {
            (self.of, self.steps, self.mean) = ((stage, entry), 0, loss.to_bits());
        }
        let mean = f64::from_bits(self.mean);
        let mean = mean + (loss - mean) / (self.steps + 1).min(WINDOW) as f64;
        (self.steps, self.mean) = (self.steps + 1, mean.to_bits());
        let reached = entries[entry].until_loss.is_some_and(|until| mean <= until) && self.steps >= WINDOW;
        if reached && !self.ended.iter().any(|&(s, e, _)| (s, e) == (stage, entry)) {
            self.ended.push((stage, entry, step + LAG));
        }
    }
}

/// What is wrong with a stage's entries, if anything.
pub(super) fn check(entries: &[CurriculumStep], steps: u64) -> Result<(), &'static str> {
    if entries.iter().any(|e| e.until_step.is_none() && e.until_loss.is_none()) {
        return Err("entries need until_step or until_loss");
    }
    if entries
        .iter()
        .any(|e| e.until_loss.is_some_and(|loss| !(loss > 0.0 && loss.is_finite())))
    {
        return Err("until_loss must be above 0");
    }
    let ends: Vec<u64> = entries.iter().filter_map(|e| e.until_step).collect();
    if !ends.is_sorted_by(|a, b| a < b) || ends.iter().any(|&end| end == 0 || end > steps) {
        return Err("needs rising until_step values within the stage's steps");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(until_step: Option<u64>, until_loss: Option<f64>) -> CurriculumStep {
        CurriculumStep {
            until_step,
            until_loss,
            chunks: ChunkRange { min: 1, max: 1 },
        }
    }

    #[test]
    fn an_entry_ends_by_its_step_or_some_steps_after_its_loss() {
        let entries = [entry(None, Some(2.0)), entry(Some(500), None)];
        let mut curriculum = Curriculum::default();
        let first = 1000;
        for stage_step in 0..100 {
            assert_eq!(curriculum.entry(&entries, 3, stage_step, first + stage_step), Some(0));
            curriculum.count(&entries, 3, 0, first + stage_step, 3.0);
        }
        let mut switch = None;
        for stage_step in 100..400 {
            let now = curriculum.entry(&entries, 3, stage_step, first + stage_step).unwrap();
            if now == 1 {
                switch.get_or_insert(stage_step);
            } else {
                curriculum.count(&entries, 3, 0, first + stage_step, 1.0);
            }
        }
        let switch = switch.unwrap();
        assert!((100 + LAG..300).contains(&switch), "{switch}");
        // Never changed afterwards, nor for steps that were drawn before it was known.
        assert_eq!(curriculum.entry(&entries, 3, switch - 1, first + switch - 1), Some(0));
        assert_eq!(curriculum.entry(&entries, 3, 500, first + 500), None);
        assert_eq!(
            curriculum.entry(&entries, 2, 0, first),
            Some(0),
            "another stage's entry is its own"
        );
        let json = serde_json::to_string(&curriculum).unwrap();
        assert_eq!(serde_json::from_str::<Curriculum>(&json).unwrap(), curriculum);
    }

    #[test]
    fn a_lucky_step_does_not_end_it() {
        let entries = [entry(None, Some(2.0))];
        let mut curriculum = Curriculum::default();
        curriculum.count(&entries, 0, 0, 0, 0.5);
        assert_eq!(curriculum.entry(&entries, 0, 99, 99), Some(0));
    }
}
