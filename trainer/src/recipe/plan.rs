//! What every step of a run does, as a pure function of recipe and step number: resuming needs the number only.

use super::{AuxRecipe, ChunkRange, LrRecipe, Recipe, StageRecipe, lr_factor};
use crate::data::{Rng, SampleKind, SampleRequest};

/// All steps of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    seed: u64,
    stages: Vec<StageRecipe>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// Stage, from 0.
    pub stage: usize,
    /// Kind of the stage.
    pub kind: SampleKind,
    /// Step within the stage, from 0.
    pub stage_step: u64,
    /// Learning rates now.
    pub lr: LrRecipe,
    /// Weights of the auxiliary losses.
    pub aux: AuxRecipe,
    /// Weight of the first token after a fold among the text tokens.
    pub first_weight: f64,
    /// Largest gradient norm.
    pub clip_norm: f64,
    /// The batch.
    pub requests: Vec<SampleRequest>,
}

impl Plan {
    /// The steps of `recipe`.
    pub fn new(recipe: &Recipe) -> Self {
        Self {
            seed: recipe.seed,
            stages: recipe.stage.clone(),
        }
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// Step `step`, from 0; `None` after the last.
    pub fn step(&self, step: u64) -> Option<StepSpec> {
        let (mut first_step, mut first_sample) = (0, 0);
        for (number, stage) in self.stages.iter().enumerate() {
            if step < first_step + stage.steps {
                return Some(self.of_stage(number, stage, step - first_step, first_sample));
            }
            first_step += stage.steps;
            first_sample += stage.steps * stage.batch as u64;
        }
        None
    }

    fn of_stage(&self, number: usize, stage: &StageRecipe, step: u64, first_sample: u64) -> StepSpec {
        // All documents of a batch get the same number of chunks, so that little of it is padding.
        let ChunkRange { min, max } = stage
            .curriculum
            .iter()
            .find(|entry| step < entry.until_step)
            .map_or(stage.chunks, |entry| entry.chunks);
        let mut rng = Rng::new(&[self.seed, 0x6368_756e_6b73, number as u64, step]);
        let chunks = min + rng.below((max - min + 1) as u64) as usize;
        let chunk_tokens = stage.chunk_tokens.map(|range| {
            let mut rng = Rng::new(&[self.seed, 0x746f_6b65_6e73, number as u64, step]);
            range.min + rng.below((range.max - range.min + 1) as u64) as usize
        });
        let requests = (0..stage.batch as u64)
            .map(|i| {
                let of_stage = step * stage.batch as u64 + i;
                SampleRequest {
                    index: first_sample + of_stage,
                    chunks,
                    chunk_tokens,
                    shuffled: of_share(stage.shuffled_share, of_stage),
                    kind: kind(stage, of_stage),
                }
            })
            .collect();
        let factor = lr_factor(step, stage.steps, stage.warmup_ratio, stage.min_lr_ratio);
        let lr = LrRecipe {
            embedding: stage.lr.embedding * factor,
            language_model: stage.lr.language_model * factor,
            vision: stage.lr.vision * factor,
            aligner: stage.lr.aligner * factor,
        };
        let (aux, clip_norm) = (stage.aux, stage.clip_norm);
        StepSpec {
            stage: number,
            kind: stage.kind,
            stage_step: step,
            lr,
            aux,
            first_weight: stage.first_weight,
            clip_norm,
            requests,
        }
    }
}

/// The kind of sample `i` of a stage: `ocr` samples are spread evenly, exactly in their share.
fn kind(stage: &StageRecipe, i: u64) -> SampleKind {
    if stage.kind == SampleKind::Olm && of_share(stage.ocr_share, i) {
        SampleKind::Ocr
    } else {
        stage.kind
    }
}

/// Whether sample `i` is one of those that make up `share`, spread evenly.
fn of_share(share: f64, i: u64) -> bool {
    ((i + 1) as f64 * share).floor() > (i as f64 * share).floor()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::load::tests::RECIPE;
    use super::*;

    fn plan() -> Plan {
        Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap())
    }

    #[test]
    fn steps_follow_the_stages_and_samples_never_repeat() {
        let plan = plan();
        assert_eq!(plan.steps(), 30);
        assert_eq!(plan.step(30), None);
        let indices: Vec<u64> = (0..30)
            .flat_map(|s| plan.step(s).unwrap().requests)
            .map(|r| r.index)
            .collect();
        assert_eq!(indices, (0..10 * 4 + 20 * 3).collect::<Vec<u64>>());
        let (last, first) = (plan.step(9).unwrap(), plan.step(10).unwrap());
        assert_eq!((last.stage, last.kind, last.stage_step), (0, SampleKind::Read, 9));
        assert_eq!((first.stage, first.kind, first.stage_step), (1, SampleKind::Olm, 0));
        assert_eq!(last.lr.language_model, 0.0);
        assert!(first.lr.language_model > 0.0);
    }

    #[test]
    fn chunks_follow_curriculum_and_range() {
        let plan = plan();
        let chunks = |step| {
            plan.step(step)
                .unwrap()
                .requests
                .iter()
                .map(|r| r.chunks)
                .collect::<Vec<_>>()
        };
        assert!((10..15).all(|s| chunks(s) == [1, 1, 1]));
        let later: Vec<_> = (15..30).map(chunks).collect();
        assert!(
            later
                .iter()
                .all(|c| (2..=4).contains(&c[0]) && c.iter().all(|n| *n == c[0]))
        );
        assert!((2..=4).all(|n| later.iter().any(|c| c[0] == n)), "{later:?}");
        assert_eq!(plan, super::Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap()));
    }

    #[test]
    fn short_chunks_and_shuffled_samples_are_drawn_as_asked() {
        let text = RECIPE.replace(
            "ocr_share = 0.3",
            "chunk_tokens = [8, 12]\nshuffled_share = 0.25\nfirst_weight = 4.0",
        );
        let plan = Plan::new(&Recipe::parse(&text, "r.toml").unwrap());
        let steps: Vec<StepSpec> = (10..30).map(|s| plan.step(s).unwrap()).collect();
        let lengths: Vec<usize> = steps.iter().map(|s| s.requests[0].chunk_tokens.unwrap()).collect();
        assert!(lengths.iter().all(|n| (8..=12).contains(n)));
        assert!((8..=12).all(|n| lengths.contains(&n)), "{lengths:?}");
        let shuffled = steps.iter().flat_map(|s| &s.requests).filter(|r| r.shuffled).count();
        assert_eq!(shuffled, 15);
        assert_eq!(steps[0].first_weight, 4.0);
        assert_eq!(plan.step(0).unwrap().requests[0].chunk_tokens, None);
    }

    #[test]
    fn ocr_samples_have_their_share() {
        let plan = plan();
        let kinds: Vec<_> = (10..30)
            .flat_map(|s| plan.step(s).unwrap().requests)
            .map(|r| r.kind)
            .collect();
        assert_eq!(kinds.iter().filter(|k| **k == SampleKind::Ocr).count(), 18);
        assert!(kinds.iter().all(|k| *k != SampleKind::Read));
    }
}
