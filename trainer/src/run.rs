//! The training loop: batches in, steps, lines in the log, validations, checkpoints.

use crate::aux_loss::{CELL_CLASSES, CellHead};
use crate::data::{Prefetch, Sample};
use crate::eval::{EvalStats, evaluate};
use crate::flops::training_flops;
use crate::learner_state::{load_model, restore_moments, save};
use crate::metrics::{EvalLine, Metrics, TrainLine, rss_mb};
use crate::model_folder::write_side_files;
use crate::recipe::{Curriculum, Plan, StepSpec};
use crate::run_dir::Best;
use crate::samples::{Samples, write_samples};
use crate::setup::{Setup, Start};
use crate::stats::StepStats;
use crate::step::Learner;
use crate::step_plan::step_plan;
use crate::team::{Alone, Team, check_weights, share_weights};
use crate::{Error, Result};
use burn::module::Param;
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend};
use folio_engine::checkpoint::{TensorSpec, init_tensor};
use folio_engine::config::Config;
use folio_engine::model::Fused;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Batches that are made ahead of the step that needs them.
const AHEAD: usize = 8;
/// Steps in a row without a finite gradient after which a run gives up.
const PATIENCE: u32 = 20;

/// Steps between two checks that all processes hold the same weights.
const DRIFT_EVERY: u64 = 100;

/// Who is told how a run goes.
pub trait Reporter {
    /// A step is done; called at every step.
    fn step(&mut self, done: u64, line: &TrainLine);
    /// A line was logged.
    fn logged(&mut self, line: &TrainLine);
    /// A validation is done.
    fn evaluated(&mut self, line: &EvalLine);
    /// A checkpoint was written.
    fn saved(&mut self, checkpoint: &Path);
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// It was asked to stop; the checkpoint is written.
    Stopped,
}

struct Running<'a, B: AutodiffBackend> {
    setup: Setup,
    learner: Learner<B>,
    team: &'a dyn Team,
    /// Of the process that writes.
    metrics: Option<Metrics>,
    reporter: &'a mut dyn Reporter,
    threads: usize,
    /// When this process began training, less the seconds trained before.
    elapsed_before: f64,
    started: Instant,
    saved_at: Instant,
    /// Since the last line.
    sum: StepStats,
    line_tokens: u64,
    line_flops: f64,
    line_started: Instant,
    wait_s: f64,
}

/// Trains what `setup` has made ready, on `device`, until its last step or until `stop` is set.
///
/// # Errors
/// Weights that do not fit; a batch that cannot be made; files that cannot be written; gradients that stay not finite.
pub fn train<B: AutodiffBackend + Fused>(
    setup: Setup,
    device: &B::Device,
    stop: &AtomicBool,
    reporter: &mut dyn Reporter,
) -> Result<Outcome>
where
    B::InnerBackend: Fused,
{
    train_with::<B>(setup, device, &Alone, stop, reporter)
}

/// As [`train`], as one process of `team`; process 0 writes checkpoints and metrics. When another process is gone, process 0
/// writes a checkpoint of the last whole step before it gives the error.
///
/// # Errors
/// As [`train`]; another process is gone; the processes' weights drift apart.
pub fn train_with<B: AutodiffBackend + Fused>(
    setup: Setup,
    device: &B::Device,
    team: &dyn Team,
    stop: &AtomicBool,
    reporter: &mut dyn Reporter,
) -> Result<Outcome>
where
    B::InnerBackend: Fused,
{
    let threads = setup
        .recipe
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut learner = learner::<B>(&setup, device, threads)?;
    learner.model = share_weights(team, learner.model)?;
    learner.head = share_weights(team, learner.head)?;
    let metrics = match team.writes() {
        true => Some(Metrics::open(&setup.run.metrics(), setup.state.step)?),
        false => None,
    };
    let now = Instant::now();
    let running = Running {
        elapsed_before: setup.state.elapsed_s,
        setup,
        learner,
        team,
        metrics,
        reporter,
        threads,
        started: now,
        saved_at: now,
        sum: StepStats::default(),
        line_tokens: 0,
        line_flops: 0.0,
        line_started: now,
        wait_s: 0.0,
    };
    let mut running = running;
    let saved = running.setup.state.step;
    let outcome = running.run(stop);
    if let Err(Error::ProcessLost(_)) = &outcome
        && team.writes()
        && running.setup.state.step > saved
    {
        // The step that failed has changed nothing.
        running.save()?;
    }
    outcome
}

fn learner<B: AutodiffBackend + Fused>(setup: &Setup, device: &B::Device, threads: usize) -> Result<Learner<B>>
where
    B::InnerBackend: Fused,
{
    let (config, seed) = (&setup.config, setup.recipe.seed);
    let from = match &setup.start {
        Start::Random => None,
        Start::Folder(dir) | Start::Resume(dir) => Some(dir.as_path()),
    };
    let model = load_model(config, from, seed, device)?;
    let head = CellHead {
        weight: Param::from_tensor(head_weight(config, seed, device)),
    };
    let mut learner = Learner::new(model, head, setup.recipe.weight_decay, device.clone(), threads);
    learner.compute = setup.recipe.compute();
    if let Start::Resume(dir) = &setup.start {
        restore_moments(&mut learner, dir)?;
    }
    Ok(learner)
}

/// The auxiliary head's first weights: like the model's, a function of the seed only.
fn head_weight<B: burn::tensor::backend::Backend>(config: &Config, seed: u64, device: &B::Device) -> Tensor<B, 2> {
    let cells = config.fold.as_ref().map_or(1, |fold| {
        let (vision, page) = (&fold.vision, &fold.page);
        (vision.patch_width / page.cell_width) * (vision.patch_height / page.cell_height)
    });
    let shape = [cells * CELL_CLASSES, config.text.hidden_size];
    let spec = TensorSpec {
        name: "cell_head.weight".to_owned(),
        shape: shape.to_vec(),
    };
    Tensor::from_data(TensorData::new(init_tensor(config, &spec, seed), shape), device)
}

impl<B: AutodiffBackend + Fused> Running<'_, B>
where
    B::InnerBackend: Fused,
{
    fn run(&mut self, stop: &AtomicBool) -> Result<Outcome> {
        let (plan, total) = (self.setup.plan.clone(), self.setup.plan.steps());
        let (first, memory) = (self.setup.state.step, self.setup.recipe.memory);
        // Shared with the threads that make batches ahead: what changes in it is far enough from where they are.
        let curriculum = Arc::new(Mutex::new(self.setup.state.curriculum.clone()));
        let (requests, known, sets) = (plan.clone(), Arc::clone(&curriculum), self.setup.train.clone());
        let (rank, processes) = (self.team.rank(), self.team.size());
        let batches = Prefetch::start(
            move |request| sets.sample(request),
            first,
            AHEAD,
            self.setup.recipe.data.workers,
            move |step| {
                let spec = requests.step(step, &lock(&known))?;
                let requests = if spec.is_idle(memory) {
                    Vec::new()
                } else {
                    spec.requests
                };
                Some(Plan::share(requests, rank, processes))
            },
        );
        let mut not_finite = 0;
        for (step, batch, wait) in batches {
            let Some(spec) = plan.step(step, &self.setup.state.curriculum) else {
                break;
            };
            let batch = batch?;
            if spec.is_idle(memory) && step + 1 < total {
                self.setup.state.step = step + 1;
                continue;
            }
            self.wait_s += wait.as_secs_f64();
            let stats = self.learner.step_with(&batch, &step_plan(&spec), self.team)?;
            not_finite = if stats.language_norm.is_finite() && stats.vision_norm.is_finite() {
                0
            } else {
                not_finite + 1
            };
            if not_finite >= PATIENCE {
                let what = format!("gradients of {PATIENCE} steps in a row, up to step {}", step + 1);
                return Err(Error::NotFinite(what));
            }
            self.count(&batch, &stats)?;
            if let (Some(entry), Some(loss)) = (spec.entry, stats.loss_of(spec.kind)) {
                let entries = &plan.stages()[spec.stage].curriculum;
                let state = &mut self.setup.state.curriculum;
                state.count(entries, spec.stage, entry, step, loss);
                lock(&curriculum).clone_from(state);
            }
            let done = step + 1;
            self.setup.state.step = done;
            self.report(&spec, &stats, done == total)?;
            let every = self.setup.recipe.eval.every;
            let validate = done == total || (every > 0 && done.is_multiple_of(every));
            if done.is_multiple_of(DRIFT_EVERY) {
                check_weights(self.team, &self.learner.model)?;
            }
            // One process that is asked to stop stops all, after the same step.
            let stopped = self
                .team
                .sum_exactly(vec![f64::from(u8::from(stop.load(Ordering::Relaxed)))])?[0]
                > 0.0;
            if self.team.writes() {
                let better = validate && self.evaluate()?;
                if better || self.checkpoint_due(done) || done == total || stopped {
                    self.save()?;
                }
            }
            if stopped && done < total {
                return Ok(Outcome::Stopped);
            }
        }
        let done = self.setup.state.step;
        if done < total {
            let what =
                format!("no batch is left after step {done} of {total}: go on with --resume from the last checkpoint");
            return Err(Error::invalid(self.setup.run.root().display().to_string(), what));
        }
        Ok(Outcome::Finished)
    }

    fn count(&mut self, batch: &[Sample], stats: &StepStats) -> Result<()> {
        let tokens: u64 = batch.iter().map(|sample| sample.tokens() as u64).sum();
        let flops = batch.iter().map(|sample| training_flops(sample, &self.setup.config));
        let summed = self.team.sum_exactly(vec![tokens as f64, flops.sum()])?;
        let tokens = summed[0] as u64;
        self.sum.merge(stats);
        self.line_tokens += tokens;
        self.line_flops += summed[1];
        self.setup.state.tokens += tokens;
        self.setup.state.elapsed_s = self.elapsed_before + self.started.elapsed().as_secs_f64();
        Ok(())
    }

    fn report(&mut self, spec: &StepSpec, stats: &StepStats, last: bool) -> Result<()> {
        let state = &self.setup.state;
        let seconds = self.line_started.elapsed().as_secs_f64();
        let mut line = TrainLine {
            step: state.step,
            stage: spec.stage + 1,
            loss: self.sum.olm.get(),
            ocr_loss: self.sum.ocr.get(),
            caption_loss: self.sum.caption.get(),
            sft_loss: self.sum.sft.get(),
            first16_loss: self.sum.first16.get(),
            cells_loss: self.sum.cells.get(),
            tokens_loss: self.sum.tokens.get(),
            directions_loss: self.sum.directions.get(),
            next_loss: self.sum.next.get(),
            first_loss: self.sum.first.get(),
            visual_scale: stats.visual_scale.get(),
            lr: spec.lr,
            grad_norm: stats.language_norm,
            vision_grad_norm: stats.vision_norm,
            tokens: state.tokens,
            tokens_per_s: self.line_tokens as f64 / seconds.max(1e-9),
            flops_per_s: self.line_flops / seconds.max(1e-9),
            wait_s: self.wait_s,
            elapsed_s: state.elapsed_s,
            rss_mb: None,
        };
        if self.team.writes() {
            self.reporter.step(state.step, &line);
        }
        if state.step.is_multiple_of(self.setup.recipe.log.every) || last {
            line.rss_mb = rss_mb();
            if let Some(metrics) = &mut self.metrics {
                metrics.write(&line)?;
                self.reporter.logged(&line);
            }
            self.next_line();
        }
        Ok(())
    }

    fn next_line(&mut self) {
        self.sum = StepStats::default();
        (self.line_tokens, self.line_flops) = (0, 0.0);
        (self.wait_s, self.line_started) = (0.0, Instant::now());
    }

    /// Validates; `true` when the model is better than ever, and so must be saved.
    fn evaluate(&mut self) -> Result<bool> {
        let Some(windows) = &self.setup.valid else {
            return Ok(false);
        };
        let start = Instant::now();
        let (learner, recipe) = (&self.learner, &self.setup.recipe);
        let stats = evaluate(
            &learner.model,
            &learner.head,
            windows,
            (&recipe.eval, recipe.memory),
            self.threads,
            &learner.device,
        );
        let line = eval_line(self.setup.state.step, &stats, start.elapsed().as_secs_f64());
        if let Some(metrics) = &mut self.metrics {
            metrics.write(&line)?;
        }
        self.reporter.evaluated(&line);
        // One process of many writes.
        if recipe.eval.sample_tokens > 0 && self.metrics.is_some() {
            let samples = Samples {
                model: &learner.model,
                device: &learner.device,
                tokenizer: &self.setup.tokenizer.tokenizer,
                windows,
                memory: recipe.memory,
                tokens: recipe.eval.sample_tokens,
            };
            write_samples(&self.setup.run.root().join("samples"), self.setup.state.step, &samples)?;
        }
        // The time must not count as training time of the line that follows.
        self.line_started += start.elapsed();
        let Some(loss) = line.eval_loss.filter(|loss| loss.is_finite()) else {
            return Ok(false);
        };
        let better = self.setup.state.best.is_none_or(|best| loss < best.loss);
        if better {
            self.setup.state.best = Some(Best {
                step: self.setup.state.step,
                loss,
            });
        }
        Ok(better)
    }

    fn checkpoint_due(&self, done: u64) -> bool {
        let recipe = &self.setup.recipe.checkpoint;
        let by_step = recipe.every > 0 && done.is_multiple_of(recipe.every);
        by_step || (recipe.minutes > 0.0 && self.saved_at.elapsed().as_secs_f64() >= recipe.minutes * 60.0)
    }

    fn save(&mut self) -> Result<()> {
        self.setup.state.drawn = self.setup.plan.drawn(self.setup.state.step);
        let Setup {
            run,
            state,
            recipe,
            config,
            tokenizer,
            ..
        } = &self.setup;
        let path = run.save(state, recipe.checkpoint.keep, |dir| {
            save(&self.learner, config, dir)?;
            write_side_files(dir, config, tokenizer)
        })?;
        self.saved_at = Instant::now();
        self.reporter.saved(&path);
        Ok(())
    }
}

fn lock(curriculum: &Mutex<Curriculum>) -> MutexGuard<'_, Curriculum> {
    curriculum.lock().unwrap_or_else(PoisonError::into_inner)
}

fn eval_line(step: u64, stats: &EvalStats, seconds: f64) -> EvalLine {
    EvalLine {
        step,
        eval_loss: stats.olm.get(),
        eval_folded_loss: stats.folded.get(),
        eval_none_loss: stats.none.get(),
        eval_first16_loss: stats.first16.get(),
        eval_none_first16_loss: stats.none_first16.get(),
        eval_ocr_loss: stats.ocr.get(),
        eval_ocr_first_loss: stats.ocr_first.get(),
        eval_ocr_wrong_loss: stats.ocr_wrong.get(),
        eval_ocr_exact: stats.ocr_exact.get(),
        eval_first_loss: stats.first.get(),
        eval_none_first_loss: stats.none_first.get(),
        eval_cells_loss: stats.cells.get(),
        eval_folded_by_offset: stats.folded_by_offset.means(),
        eval_none_by_offset: stats.none_by_offset.means(),
        eval_s: seconds,
    }
}
