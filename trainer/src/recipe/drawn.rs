//! How much of the data a run has drawn: what a run goes on from, also with another number of processes.

use super::StageRecipe;
use serde::{Deserialize, Serialize};

/// What a run has drawn before one of its steps. It is part of a checkpoint: how many samples a step draws follows from the
/// number of processes, and that may be another when the run goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The step.
    pub step: u64,
    /// Samples of the run.
    pub samples: u64,
    /// Those of them in the stage of the step.
    pub of_stage: u64,
    /// Tokens of each data set's row; empty where nothing is streamed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<u64>,
}

/// The samples that the steps still to come draw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spans(Vec<Span>);

/// Those of one stage.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    stage: usize,
    steps: std::ops::Range<u64>,
    /// Samples of a step.
    batch: u64,
    /// Number of the first sample in the run, and in the stage.
    first: u64,
    of_stage: u64,
}

impl Spans {
    /// Of `stages`, whose batches are those of all processes, after `from`.
    pub(super) fn new(stages: &[StageRecipe], from: &Drawn) -> Self {
        let (mut spans, mut first_step, mut first) = (Vec::new(), 0u64, from.samples);
        for (stage, recipe) in stages.iter().enumerate() {
            let end = first_step.saturating_add(recipe.steps);
            let begun = first_step < from.step;
            let steps = first_step.max(from.step)..end;
            if !steps.is_empty() {
                let batch = recipe.batch as u64;
                let drawn = (steps.end - steps.start).saturating_mul(batch);
                spans.push(Span {
                    stage,
                    steps,
                    batch,
                    first,
                    of_stage: if begun { from.of_stage } else { 0 },
                });
                first = first.saturating_add(drawn);
            }
            first_step = end;
        }
        Self(spans)
    }

    /// Number of the first sample of step `step` of `stage`, in the run and in the stage.
    pub(super) fn of(&self, stage: usize, step: u64) -> Option<(u64, u64)> {
        let span = self.0.iter().find(|span| span.stage == stage)?;
        span.steps.contains(&step).then(|| span.before(step))
    }

    /// Samples drawn before step `step`, in the run and in its stage; `None` if no steps are left.
    pub(super) fn before(&self, step: u64) -> Option<(u64, u64)> {
        let span = self.0.iter().find(|span| step < span.steps.end).or(self.0.last())?;
        Some(span.before(step))
    }

    /// Samples drawn when all steps are done; `start` if there are none.
    pub(super) fn end(&self, start: u64) -> u64 {
        self.0.last().map_or(start, |span| span.before(span.steps.end).0)
    }

    /// The stage of a sample.
    pub(super) fn stage(&self, index: u64) -> Option<usize> {
        let span = self.0.iter().find(|span| index < span.before(span.steps.end).0)?;
        Some(span.stage)
    }
}

impl Span {
    fn before(&self, step: u64) -> (u64, u64) {
        let drawn = step.clamp(self.steps.start, self.steps.end) - self.steps.start;
        let drawn = drawn.saturating_mul(self.batch);
        (self.first.saturating_add(drawn), self.of_stage.saturating_add(drawn))
    }
}
