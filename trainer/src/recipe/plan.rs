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
mod tests {
    use super::super::load::tests::RECIPE;
    use super::*;
    use proptest::prelude::*;

    fn plan() -> Plan {
        Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap(), 128)
    }

    #[test]
    fn steps_follow_the_stages_and_samples_never_repeat() {
        let plan = plan();
        assert_eq!(plan.steps(), 30);
        assert_eq!(plan.step(30, &Curriculum::default()), None);
        let indices: Vec<u64> = (0..30)
            .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
            .map(|r| r.index)
            .collect();
        assert_eq!(indices, (0..10 * 4 + 20 * 3).collect::<Vec<u64>>());
        let (last, first) = (
            plan.step(9, &Curriculum::default()).unwrap(),
            plan.step(10, &Curriculum::default()).unwrap(),
        );
        assert_eq!((last.stage, last.kind, last.stage_step), (0, SampleKind::Read, 9));
        assert_eq!((first.stage, first.kind, first.stage_step), (1, SampleKind::Olm, 0));
        assert_eq!(last.lr.language_model, 0.0);
        assert!(first.lr.language_model > 0.0);
    }

    #[test]
    fn processes_share_a_step_without_overlap() {
        let recipe = Recipe::parse(&RECIPE.replace("batch = 4", "batch = 4\naccumulate = 3"), "r.toml").unwrap();
        let plan = Plan::for_processes(&recipe, 128, 2);
        let big = Recipe::parse(
            &RECIPE
                .replace("batch = 4", "batch = 24")
                .replace("batch = 3", "batch = 6"),
            "r.toml",
        );
        let alone = Plan::new(&big.unwrap(), 128);
        for step in [0, 9, 10, 29] {
            let of = |plan: &Plan| plan.step(step, &Curriculum::default()).unwrap().requests;
            let shares = [0, 1].map(|rank| Plan::share(of(&plan), rank, 2));
            assert_eq!(shares[0].len(), shares[1].len());
            assert_eq!(shares.concat(), of(&alone), "step {step}");
        }
    }

    /// A recipe of two stages, the second on two sets, all streamed.
    fn streamed() -> Recipe {
        let sets = "stream = true\n[[data.set]]\nname = \"more\"\nfiles = [\"b.txt\"]\nstream = true\n[[stage]]\nkind = \"read\"";
        let text = RECIPE
            .replacen("[[stage]]\nkind = \"read\"", sets, 1)
            .replace("steps = 20", "steps = 400");
        Recipe::parse(&text, "r.toml").unwrap()
    }

    proptest! {
        /// However often a run is stopped, and with whatever number of processes it goes on: every sample is drawn once, in
        /// order, by one process, and a streamed row is taken without gap or overlap.
        #[test]
        fn another_number_of_processes_goes_on_at_the_exact_sample(
            parts in proptest::collection::vec((1usize..6, 1u64..150), 1..6),
        ) {
            let recipe = streamed();
            let (mut drawn, mut first, mut index) = (Drawn::default(), 0, 0);
            let (mut next, mut of_stage) = ([0u64; 2], [0u64; 2]);
            for (processes, steps) in parts.into_iter().chain([(1, 410)]) {
                let plan = Plan::going_on(&recipe, 128, processes, drawn.clone());
                let end = (first + steps).min(plan.steps());
                prop_assert!(first == 0 || plan.step(first - 1, &Curriculum::default()).is_none());
                for step in first..end {
                    let spec = plan.step(step, &Curriculum::default()).unwrap();
                    for rank in 0..processes {
                        let share = Plan::share(spec.requests.clone(), rank, processes);
                        prop_assert_eq!(share.len(), if step < 10 { 4 } else { 3 });
                        for request in share {
                            prop_assert_eq!(request.index, index);
                            prop_assert_eq!(request.position, next[request.set]);
                            let ocr = of_share(0.3, of_stage[spec.stage]);
                            prop_assert_eq!(request.kind == SampleKind::Ocr, spec.stage == 1 && ocr);
                            next[request.set] += request.slot;
                            of_stage[spec.stage] += 1;
                            index += 1;
                        }
                    }
                }
                drawn = plan.drawn(end);
                let json = serde_json::to_string(&drawn).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Drawn>(&json).unwrap(), &drawn);
                prop_assert_eq!((drawn.step, drawn.samples, &drawn.tokens[..]), (end, index, &next[..]));
                first = end;
            }
            prop_assert_eq!(first, 410);
        }
    }

    #[test]
    fn chunks_follow_curriculum_and_range() {
        let plan = plan();
        let chunks = |step| {
            plan.step(step, &Curriculum::default())
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
        assert_eq!(plan, super::Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap(), 128));
    }

    #[test]
    fn short_chunks_and_shuffled_samples_are_drawn_as_asked() {
        let text = RECIPE.replace(
            "ocr_share = 0.3",
            "chunk_tokens = [8, 12]\nshuffled_share = 0.25\nunfolded_share = 0.5\nfirst_weight = 4.0\nfirst_tokens = 3\nrepeat_weight = 2.0",
        );
        let plan = Plan::new(&Recipe::parse(&text, "r.toml").unwrap(), 128);
        let steps: Vec<StepSpec> = (10..30)
            .map(|s| plan.step(s, &Curriculum::default()).unwrap())
            .collect();
        let lengths: Vec<usize> = steps.iter().map(|s| s.requests[0].chunk_tokens.unwrap()).collect();
        assert!(lengths.iter().all(|n| (8..=12).contains(n)));
        assert!((8..=12).all(|n| lengths.contains(&n)), "{lengths:?}");
        let shuffled = steps.iter().flat_map(|s| &s.requests).filter(|r| r.shuffled).count();
        assert_eq!(shuffled, 15);
        let unfolded = steps.iter().flat_map(|s| &s.requests).filter(|r| r.unfolded).count();
        assert!((15..=45).contains(&unfolded), "{unfolded} of 60");
        let weighing = Weighing {
            first_tokens: 3,
            first_weight: 4.0,
            repeat_weight: 2.0,
        };
        assert_eq!(steps[0].weighing, weighing);
        assert_eq!(
            plan.step(0, &Curriculum::default()).unwrap().requests[0].chunk_tokens,
            None
        );
    }

    #[test]
    fn a_streamed_row_is_taken_without_gap_or_overlap() {
        let plan = Plan::new(&streamed(), 128);
        let mut next = [0u64; 2];
        for step in 0..410 {
            for request in plan.step(step, &Curriculum::default()).unwrap().requests {
                assert_eq!(request.position, next[request.set], "sample {}", request.index);
                // Two chunks in the first stage, up to four in the second.
                assert_eq!(request.slot, if step < 10 { 2 * 128 } else { 4 * 128 });
                next[request.set] += request.slot;
            }
        }
        assert!(next[0] > 100_000 && next[1] > 100_000, "{next:?}");
    }

    #[test]
    fn sets_are_drawn_by_weight_and_by_kind() {
        let sets = "[[data.set]]\nname = \"more\"\nfiles = [\"b.txt\"]\nweight = 3.0\n\
            [[data.set]]\nname = \"talk\"\nkind = \"chat\"\nfiles = [\"c.jsonl\"]\n[[stage]]\nkind = \"read\"";
        let text = RECIPE
            .replacen("[[stage]]\nkind = \"read\"", sets, 1)
            .replace("steps = 20", "steps = 400");
        let recipe = Recipe::parse(&text, "r.toml").unwrap();
        let plan = Plan::new(&recipe, 128);
        let drawn: Vec<usize> = (10..410)
            .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
            .map(|r| r.set)
            .collect();
        let more = drawn.iter().filter(|&&set| set == 1).count() as f64 / drawn.len() as f64;
        assert!((more - 0.75).abs() < 0.05, "{more}");
        assert!(drawn.iter().all(|&set| set < 2), "a text stage draws no chats");
        let named = text.replace("ocr_share = 0.3", "ocr_share = 0.3\ndata = [\"more\"]");
        let plan = Plan::new(&Recipe::parse(&named, "r.toml").unwrap(), 128);
        let drawn = (10..410).flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests);
        assert!(drawn.map(|r| r.set).all(|set| set == 1));
        let error = |name: &str| {
            let text = text.replace("ocr_share = 0.3", &format!("data = [\"{name}\"]"));
            Recipe::parse(&text, "r.toml").unwrap_err().to_string()
        };
        assert!(error("talk").contains("kind \"chat\"") && error("gone").contains("\"gone\""));
    }

    #[test]
    fn ocr_samples_have_their_share() {
        let plan = plan();
        let kinds: Vec<_> = (10..30)
            .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
            .map(|r| r.kind)
            .collect();
        assert_eq!(kinds.iter().filter(|k| **k == SampleKind::Ocr).count(), 18);
        assert!(kinds.iter().all(|k| *k != SampleKind::Read));
    }
}
