//! What every step of a run does, as a pure function of recipe, step number and the state of the curriculum.

use super::drawn::{Drawn, Spans};
use super::{AuxRecipe, ChunkRange, Curriculum, LrRecipe, Recipe, StageRecipe, lr_factor};
use crate::data::{Memory, Rng, SampleKind, SampleRequest};
use crate::step::Weighing;

/// The steps of a recipe that are still to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    seed: u64,
    stages: Vec<StageRecipe>,
    /// What was drawn before the first of them.
    from: Drawn,
    /// Which samples each stage's steps draw.
    spans: Spans,
    /// Of each stage: its data sets with their weights.
    sets: Vec<Vec<(usize, f64)>>,
    /// Of each stage: tokens of a streamed set's row that a sample takes.
    slots: Vec<u64>,
    /// Tokens of each set's row taken before sample `from.samples + i × BLOCK`; empty where nothing is streamed.
    taken: Vec<Vec<u64>>,
}

/// Samples between two known positions: few enough to count from one, many enough for few of them.
const BLOCK: u64 = 256;

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// Stage, from 0.
    pub stage: usize,
    /// Kind of the stage.
    pub kind: SampleKind,
    /// Step within the stage, from 0.
    pub stage_step: u64,
    /// Entry of the stage's curriculum that holds.
    pub entry: Option<usize>,
    /// Learning rates now.
    pub lr: LrRecipe,
    /// Weights of the auxiliary losses.
    pub aux: AuxRecipe,
    /// What the first tokens after a fold count among the text tokens.
    pub weighing: Weighing,
    /// Largest gradient norm.
    pub clip_norm: f64,
    /// Batches that make up the step.
    pub accumulate: usize,
    /// The documents of the step.
    pub requests: Vec<SampleRequest>,
}

impl StepSpec {
    /// Whether nothing can be learnt in it under `memory`: reading, where there are no pages. Its number and its samples'
    /// are counted all the same, so that a control sees what the method sees.
    pub fn is_idle(&self, memory: Memory) -> bool {
        self.kind == SampleKind::Read && !memory.has_pages()
    }
}

impl Plan {
    /// The steps of `recipe` for a model with chunks of `chunk_tokens`.
    pub fn new(recipe: &Recipe, chunk_tokens: usize) -> Self {
        Self::for_processes(recipe, chunk_tokens, 1)
    }

    /// As [`Self::new`], for `processes` that each take a batch of a step: [`Self::share`] says which.
    pub fn for_processes(recipe: &Recipe, chunk_tokens: usize, processes: usize) -> Self {
        Self::going_on(recipe, chunk_tokens, processes, Drawn::default())
    }

    /// As [`Self::for_processes`], for a run that has drawn `from`, whatever the number of processes was: the next sample is
    /// the one after the last.
    pub fn going_on(recipe: &Recipe, chunk_tokens: usize, processes: usize, from: Drawn) -> Self {
        let slot = |stage: &StageRecipe| {
            let most = stage
                .curriculum
                .iter()
                .map(|e| e.chunks.max)
                .chain([stage.chunks.max])
                .max();
            let tokens = stage
                .chunk_tokens
                .map_or(chunk_tokens, |range| range.max.min(chunk_tokens));
            (most.unwrap_or(1) as u64).saturating_mul(tokens as u64)
        };
        let stages: Vec<StageRecipe> = recipe.stage.iter().map(|stage| scaled(stage, processes)).collect();
        let mut plan = Self {
            seed: recipe.seed,
            spans: Spans::new(&stages, &from),
            stages,
            from,
            slots: recipe.stage.iter().map(slot).collect(),
            taken: Vec::new(),
            // A recipe that was read is checked: every stage has its sets.
            sets: recipe
                .stage
                .iter()
                .map(|stage| recipe.sets_of(stage).unwrap_or_default())
                .collect(),
        };
        if recipe.sets().iter().any(|set| set.stream) {
            plan.count_taken(recipe.sets().len());
        }
        plan
    }

    /// The part of a step's requests that process `rank` of `processes` takes.
    pub fn share(mut requests: Vec<SampleRequest>, rank: usize, processes: usize) -> Vec<SampleRequest> {
        let each = requests.len() / processes.max(1);
        requests.drain(rank * each..(rank + 1) * each).collect()
    }

    /// Number of steps.
    pub fn steps(&self) -> u64 {
        self.stages.iter().fold(0, |sum, stage| stage.steps.saturating_add(sum))
    }

    /// The stages.
    pub fn stages(&self) -> &[StageRecipe] {
        &self.stages
    }

    /// Step `step`, from 0; `None` after the last, and before the first that is still to come. `curriculum`: what is known of
    /// it [`super::LAG`] steps before.
    pub fn step(&self, step: u64, curriculum: &Curriculum) -> Option<StepSpec> {
        let (number, first_step) = self.stage_at(step)?;
        let (stage, stage_step) = (&self.stages[number], step - first_step);
        let entry = curriculum.entry(&stage.curriculum, number, stage_step, step);
        self.of_stage(number, stage_step, entry, step)
    }

    /// What is drawn before step `step`: with it another plan, for another number of processes, goes on.
    pub fn drawn(&self, step: u64) -> Drawn {
        let Some((samples, of_stage)) = self.spans.before(step) else {
            return self.from.clone();
        };
        let mut tokens = self.from.tokens.clone();
        if let Some((known, first)) = self.known(samples) {
            tokens.clone_from(known);
            self.take(&mut tokens, first..samples);
        }
        Drawn {
            step,
            samples,
            of_stage,
            tokens,
        }
    }

    /// The stage that step `step` is in, and its first step.
    fn stage_at(&self, step: u64) -> Option<(usize, u64)> {
        let mut first = 0u64;
        for (number, stage) in self.stages.iter().enumerate() {
            if step < first.saturating_add(stage.steps) {
                return Some((number, first));
            }
            first = first.saturating_add(stage.steps);
        }
        None
    }

    fn of_stage(&self, number: usize, stage_step: u64, entry: Option<usize>, step: u64) -> Option<StepSpec> {
        let (stage, (first, drawn)) = (&self.stages[number], self.spans.of(number, step)?);
        // All documents of a batch get the same number of chunks, so that little of it is padding.
        let ChunkRange { min, max } = entry.map_or(stage.chunks, |entry| stage.curriculum[entry].chunks);
        let mut rng = Rng::new(&[self.seed, 0x6368_756e_6b73, number as u64, stage_step]);
        let chunks = min + rng.below((max - min + 1) as u64) as usize;
        let chunk_tokens = stage.chunk_tokens.map(|range| {
            let mut rng = Rng::new(&[self.seed, 0x746f_6b65_6e73, number as u64, stage_step]);
            range.min + rng.below((range.max - range.min + 1) as u64) as usize
        });
        let requests: Vec<SampleRequest> = (0..stage.batch as u64)
            .map(|i| SampleRequest {
                index: first + i,
                set: self.set(number, first + i),
                position: 0,
                slot: self.slots[number],
                chunks,
                max_tokens: stage.max_tokens,
                chunk_tokens,
                shuffled: of_share(stage.shuffled_share, drawn + i),
                // Drawn, not spread evenly: the same samples would always be those of `ocr_share`.
                unfolded: Rng::new(&[self.seed, 0x756e_666f_6c64, first + i]).unit() < stage.unfolded_share,
                kind: kind(stage, drawn + i),
            })
            .collect();
        let requests = self.placed(requests);
        let factor = lr_factor(stage_step, stage.steps, stage.warmup_ratio, stage.min_lr_ratio);
        let lr = LrRecipe {
            embedding: stage.lr.embedding * factor,
            language_model: stage.lr.language_model * factor,
            vision: stage.lr.vision * factor,
            aligner: stage.lr.aligner * factor,
        };
        let (aux, clip_norm) = (stage.aux, stage.clip_norm);
        Some(StepSpec {
            stage: number,
            kind: stage.kind,
            stage_step,
            entry,
            lr,
            aux,
            weighing: Weighing {
                first_tokens: stage.first_tokens,
                first_weight: stage.first_weight,
                repeat_weight: stage.repeat_weight,
            },
            clip_norm,
            accumulate: stage.accumulate,
            requests,
        })
    }
}

impl Plan {
    /// Counts what every sample still to come takes from the rows of its sets.
    fn count_taken(&mut self, sets: usize) {
        let (mut now, mut taken) = (self.from.tokens.clone(), Vec::new());
        now.resize(sets, 0);
        let (first, end) = (self.from.samples, self.spans.end(self.from.samples));
        for start in (first..=end).step_by(BLOCK as usize) {
            taken.push(now.clone());
            self.take(&mut now, start..(start + BLOCK).min(end));
        }
        self.taken = taken;
    }

    /// Adds what `samples` take from the rows of their sets.
    fn take(&self, tokens: &mut [u64], samples: std::ops::Range<u64>) {
        for index in samples {
            if let Some(stage) = self.spans.stage(index) {
                let set = &mut tokens[self.set(stage, index)];
                *set = set.saturating_add(self.slots[stage]);
            }
        }
    }

    /// What is taken before a sample at or before `index`, and that sample's number.
    fn known(&self, index: u64) -> Option<(&Vec<u64>, u64)> {
        let block = index.checked_sub(self.from.samples)? / BLOCK;
        Some((self.taken.get(block as usize)?, self.from.samples + block * BLOCK))
    }

    /// The requests of one batch with their positions.
    fn placed(&self, mut requests: Vec<SampleRequest>) -> Vec<SampleRequest> {
        let Some(first) = requests.first().map(|request| request.index) else {
            return requests;
        };
        let Some((known, start)) = self.known(first) else {
            return requests;
        };
        let mut now = known.clone();
        self.take(&mut now, start..first);
        for request in &mut requests {
            request.position = now[request.set];
            now[request.set] = now[request.set].saturating_add(request.slot);
        }
        requests
    }

    /// The data set of sample `index`, drawn by weight.
    fn set(&self, stage: usize, index: u64) -> usize {
        let sets = &self.sets[stage];
        let sum: f64 = sets.iter().map(|(_, weight)| weight).sum();
        let mut left = Rng::new(&[self.seed, 0x7365_7473, index]).unit() * sum;
        for &(set, weight) in sets {
            left -= weight;
            if left < 0.0 {
                return set;
            }
        }
        sets.last().map_or(0, |&(set, _)| set)
    }
}

/// The stage with all documents of a step in its `batch`.
fn scaled(stage: &StageRecipe, processes: usize) -> StageRecipe {
    StageRecipe {
        batch: stage.batch.saturating_mul(stage.accumulate).saturating_mul(processes),
        ..stage.clone()
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
mod tests;
