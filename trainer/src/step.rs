//! One training step: lay samples out, run forward and backward (one thread a share of the batch), clip, step.

use crate::Result;
use crate::aux_loss::{CellHead, cell_loss, direction_loss, token_loss};
use crate::compute::{Compute, frozen};
use crate::data::{ChunkSample, Sample, SampleKind};
use crate::layout::{Place, Places, layout};
use crate::linear_ce::{Answers, linear_ce};
use crate::optim::{Optimizer, Rate, add_gradients, squared_norms};
use crate::parallel::in_parallel;
use crate::parameters::{Gradients, leaves, take_gradients};
use crate::shares::shares;
use crate::stats::StepStats;
use crate::team::{Alone, Team, sum_gradients};
use crate::visual_next::{next_targets, text_read};
pub use crate::weights::Weighing;
use crate::weights::{Totals, weights};
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use folio_engine::model::{DocumentTokens, Fused, Packed, Target, Vist2};

/// Learning rates and weights of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPlan {
    /// Learning rate of the token embedding and the head.
    pub embedding_lr: f64,
    /// Learning rate of the decoder.
    pub language_model_lr: f64,
    /// Learning rate of the vision encoder (and of the auxiliary head).
    pub vision_lr: f64,
    /// Learning rate of the aligner.
    pub aligner_lr: f64,
    /// Weight of the cell-naming loss.
    pub cells_weight: f64,
    /// Weight of the token-naming loss by dot products.
    pub tokens_weight: f64,
    /// Weight of the token-naming loss by angles.
    pub directions_weight: f64,
    /// Weight of predicting on from every visual token of a folded page.
    pub next_weight: f64,
    /// What the first tokens after a fold count; other tokens count 1.
    pub weighing: Weighing,
    /// Batches that make up a step, taken one after another.
    pub accumulate: usize,
    /// Largest gradient norm, of the language side and of the vision side separately.
    pub clip_norm: f64,
}

/// The model, its auxiliary head and their optimiser.
#[derive(Debug)]
pub struct Learner<B: AutodiffBackend> {
    /// The model (without a graph).
    pub model: Vist2<B::InnerBackend>,
    /// The auxiliary head.
    pub head: CellHead<B::InnerBackend>,
    /// Moments.
    pub optimizer: Optimizer<B::InnerBackend>,
    /// Moments of the auxiliary head.
    pub head_optimizer: Optimizer<B::InnerBackend>,
    /// The device.
    pub device: B::Device,
    /// How steps are computed.
    pub compute: Compute,
    threads: usize,
}

struct Share<B: Backend> {
    grads: Gradients<B>,
    head_grads: Gradients<B>,
    stats: StepStats,
}

impl<B: AutodiffBackend + Fused> Learner<B>
where
    B::InnerBackend: Fused,
{
    /// A learner that splits every batch over `threads` threads.
    ///
    /// CPU backends run element-wise operations on one core, so shares of the batch on threads of their own keep all
    /// cores busy; the shares' gradients are added in order, so the result does not depend on timing.
    pub fn new(
        model: Vist2<B::InnerBackend>,
        head: CellHead<B::InnerBackend>,
        weight_decay: f32,
        device: B::Device,
        threads: usize,
    ) -> Self {
        let optimizer = Optimizer::new(weight_decay);
        Self {
            model,
            head,
            optimizer,
            head_optimizer: Optimizer::new(weight_decay),
            device,
            compute: Compute::default(),
            threads: threads.max(1),
        }
    }

    /// One optimiser step on `samples`, by this process alone.
    ///
    /// # Panics
    /// Never: only other processes can be lost.
    pub fn step(&mut self, samples: &[Sample], plan: &StepPlan) -> StepStats {
        self.step_with(samples, plan, &Alone)
            .expect("a process alone loses nobody")
    }

    /// One optimiser step on the samples of all processes, of which `samples` are this one's. All end with the same weights
    /// and the same statistics.
    ///
    /// # Errors
    /// Another process is gone; the weights are then as before.
    pub fn step_with(&mut self, samples: &[Sample], plan: &StepPlan, team: &dyn Team) -> Result<StepStats> {
        let reread = self.model.config.fold.as_ref().map_or(0, |fold| fold.reread_tokens);
        let totals = Totals::of(samples, plan.weighing, reread).over(team)?;
        let threads = self.threads;
        let mut stats = StepStats::default();
        let (mut grads, mut head_grads) = (Vec::new(), Vec::new());
        // Batches that are taken one after another, so that memory must hold only one.
        for batch in samples.chunks(samples.len().div_ceil(plan.accumulate.max(1)).max(1)) {
            let done = in_parallel(threads, shares(batch, threads), |share| {
                backward::<B>(
                    self.model.clone(),
                    self.head.clone(),
                    &share,
                    (plan, self.compute),
                    &totals,
                    &self.device,
                )
            });
            for share in done {
                stats.merge(&share.stats);
                grads.push(share.grads);
                head_grads.push(share.head_grads);
            }
            grads = vec![add_gradients::<B::InnerBackend>(grads, threads)];
            head_grads = vec![add_gradients::<B::InnerBackend>(head_grads, threads)];
        }
        let grads = sum_gradients(team, &self.model, grads.pop().unwrap_or_default())?;
        let head_grads = sum_gradients(team, &self.head, head_grads.pop().unwrap_or_default())?;
        let summed = team.sum_exactly(stats.numbers())?;
        stats.set_numbers(&summed);
        let norms = squared_norms(&self.model, &grads, &|name| usize::from(is_vision(name)), 2, threads);
        stats.language_norm = norms[0].sqrt();
        stats.vision_norm = norms[1].sqrt();
        if !norms.iter().all(|n| n.is_finite()) {
            return Ok(stats); // The caller sees the norm and decides; the weights are untouched.
        }
        let clip = |norm: f64| {
            if norm > plan.clip_norm {
                plan.clip_norm / norm
            } else {
                1.0
            }
        };
        let (language, vision) = (clip(stats.language_norm), clip(stats.vision_norm));
        let rate = |name: &str| {
            let (lr, scale) = match () {
                () if name.contains("embed_tokens") || name.contains("lm_head") => (plan.embedding_lr, language),
                () if name.starts_with("vision_tower") || name.starts_with("page_encoder") => (plan.vision_lr, vision),
                () if name.starts_with("aligner") => (plan.aligner_lr, vision),
                () => (plan.language_model_lr, language),
            };
            (lr > 0.0).then_some(Rate { lr, scale })
        };
        self.model = self.optimizer.step(self.model.clone(), grads, &rate, threads);
        let head_rate = |_: &str| {
            Some(Rate {
                lr: plan.vision_lr,
                scale: 1.0,
            })
        };
        self.head = self
            .head_optimizer
            .step(self.head.clone(), head_grads, &head_rate, threads);
        Ok(stats)
    }
}

fn is_vision(name: &str) -> bool {
    ["vision_tower", "page_encoder", "aligner"]
        .iter()
        .any(|part| name.starts_with(part))
}

fn backward<B: AutodiffBackend + Fused>(
    model: Vist2<B::InnerBackend>,
    head: CellHead<B::InnerBackend>,
    samples: &[&Sample],
    (plan, compute): (&StepPlan, Compute),
    totals: &Totals,
    device: &B::Device,
) -> Share<B::InnerBackend>
where
    B::InnerBackend: Fused,
{
    let bare = model.clone();
    // Leaves of its own for every thread: graphs that share a leaf would lock each other out.
    let model = leaves(Vist2::<B>::from_inner(model));
    let head = leaves(CellHead::<B>::from_inner(head));
    let config = model.config.clone();
    let fold = config.fold.as_ref().expect("the recipe is checked: the model can fold");
    let mut stats = StepStats::default();
    let (mut grads, mut head_grads) = (Vec::new(), Vec::new());
    for kind in SampleKind::ALL {
        let of_task: Vec<&Sample> = samples.iter().copied().filter(|s| s.kind == kind).collect();
        if of_task.is_empty() {
            continue;
        }
        let pages: Vec<&ChunkSample> = of_task
            .iter()
            .flat_map(|s| &s.chunks)
            .filter(|chunk| chunk.form.has_page())
            .collect();
        let mut documents: Vec<DocumentTokens> = of_task.iter().map(|s| layout(s, &config)).collect();
        let heads = (config.text.num_attention_heads, config.text.num_key_value_heads);
        let sees_text = fold.visual_sees_text && kind.starts_with_bos();
        if sees_text && plan.next_weight > 0.0 {
            for (document, sample) in documents.iter_mut().zip(&of_task) {
                document.text_seen = text_read(document, sample);
            }
        }
        let packed = Packed::<B>::new(&documents, sees_text, heads, fold.vision.patch_len(), device);
        let packed = packed.multiplied_in(compute.precision.dtype());
        // Of every kind its own: a backward pass uses a graph up.
        let working = compute.precision.working(model.clone());
        let decode = kind != SampleKind::Read;
        let (hidden, kept) = match decode {
            _ if compute.activation_checkpointing => {
                let bare = compute.precision.working(frozen(Vist2::<B>::from_inner(bare.clone())));
                let (hidden, kept) = bare.forward_keeping(&packed, decode);
                (hidden, Some(kept))
            }
            true => (working.forward(&packed), None),
            false => (working.encode_packed(&packed), None),
        };
        let dtype = compute.precision.dtype();
        let mut loss = None;
        let mut add = |term| {
            loss = Some(match loss.take() {
                Some(sum) => sum + term,
                None => term,
            });
        };
        if kind != SampleKind::Read {
            let places = Places::new(&of_task);
            let learnt: Vec<(Target, Place)> = packed
                .targets
                .iter()
                .map(|target| (*target, places.of(target)))
                .filter(|(_, place)| place.learn)
                .collect();
            let weights: Vec<_> = of_task
                .iter()
                .map(|sample| weights(sample, plan.weighing, fold.reread_tokens))
                .collect();
            let weight = |target: &Target, place: &Place| place.weight(target, &weights[target.document]);
            let targets: Vec<Target> = learnt.iter().map(|(target, _)| *target).collect();
            let n = targets.len();
            let answers = Answers {
                rows: (0..n).collect(),
                classes: targets.iter().map(|t| t.id as usize).collect(),
                weights: learnt
                    .iter()
                    .map(|(target, place)| (weight(target, place) / totals.text) as f32)
                    .collect(),
            };
            // A share may hold nothing to predict, and not every device takes tensors without rows.
            if n > 0 {
                let ce = linear_ce(hidden.predictors(&targets), model.head(), &answers, false, dtype);
                let sum = ce.nll.iter().map(|&nll| f64::from(nll)).sum();
                stats.of_kind(kind).add(sum, n as f64);
                for ((target, place), nll) in learnt.iter().zip(&ce.nll) {
                    // Behind whole pages that are read again, the first tokens are no measure of what pages tell.
                    let measured = place.after_page && place.given <= fold.reread_tokens;
                    let offset = target.offset - place.given;
                    if measured && offset < 16 {
                        stats.first16.add(f64::from(*nll), 1.0);
                    }
                    if measured && offset == 0 {
                        stats.first.add(f64::from(*nll), 1.0);
                    }
                }
                stats.text_tokens += n;
                add(ce.surrogate);
            }
            if plan.next_weight > 0.0 {
                let targets = next_targets(&of_task, &packed);
                if !targets.is_empty() {
                    let weight = (plan.next_weight / totals.next) as f32;
                    let answers = Answers {
                        rows: (0..targets.len()).collect(),
                        classes: targets.iter().map(|t| t.id as usize).collect(),
                        weights: vec![weight; targets.len()],
                    };
                    let ce = linear_ce(hidden.predictors(&targets), model.head(), &answers, false, dtype);
                    let sum = ce.nll.iter().map(|&nll| f64::from(nll)).sum();
                    stats.next.add(sum, targets.len() as f64);
                    add(ce.surrogate);
                }
            }
        }
        if let Some(visual) = packed.compact_visual(hidden.visual.clone()) {
            let rows: usize = pages.iter().map(|p| p.slots).sum();
            let embedding = model.language_model.model.embed_tokens.weight.val();
            let squares = |t: Tensor<B, 2>| scalar(&t.inner().square().mean());
            let ratio = squares(visual.clone()) / squares(embedding.clone()).max(1e-30);
            stats.visual_scale.add(ratio.sqrt() * rows as f64, rows as f64);
            if plan.cells_weight > 0.0 {
                let classes: Vec<u8> = pages.iter().flat_map(|p| p.cells.iter().copied()).collect();
                // A mean over the batch's cells.
                let weight = plan.cells_weight * rows as f64 / totals.slots / classes.len() as f64;
                let (sum, surrogate) = cell_loss(&head, visual.clone(), &classes, weight);
                stats.cells.add(sum * rows as f64 / classes.len() as f64, rows as f64);
                add(surrogate);
            }
            let tokens: Vec<Vec<u32>> = pages.iter().flat_map(|p| p.patch_tokens.iter().cloned()).collect();
            let named = tokens.iter().filter(|ids| !ids.is_empty()).count() as f64;
            if plan.directions_weight > 0.0 {
                let (value, surrogate) = direction_loss(
                    visual.clone(),
                    embedding.clone(),
                    &tokens,
                    [totals.named, totals.slots],
                    dtype,
                );
                stats.directions.add(value * totals.named, named);
                add(surrogate.mul_scalar(plan.directions_weight));
            }
            if plan.tokens_weight > 0.0 {
                let (value, surrogate) = token_loss(visual, embedding, &tokens, totals.named, dtype);
                stats.tokens.add(value * totals.named, named);
                add(surrogate.mul_scalar(plan.tokens_weight));
            }
        }
        if let Some(loss) = loss {
            let mut all = loss.backward();
            grads.push(take_gradients(&model, &mut all));
            head_grads.push(take_gradients(&head, &mut all));
            if let Some(kept) = kept {
                let of_rows = hidden.rows.grad_remove(&mut all);
                let of_visual = hidden.visual.and_then(|visual| visual.grad_remove(&mut all));
                working.backward_kept(&packed, kept, of_rows, of_visual, &mut |all| {
                    grads.push(take_gradients(&model, all));
                });
            }
        }
    }
    Share {
        grads: add_gradients::<B::InnerBackend>(grads, 1),
        head_grads: add_gradients::<B::InnerBackend>(head_grads, 1),
        stats,
    }
}

fn scalar<B: Backend>(t: &Tensor<B, 1>) -> f64 {
    t.clone()
        .into_data()
        .convert::<f64>()
        .as_slice::<f64>()
        .map_or(f64::NAN, |s| s[0])
}

#[cfg(test)]
mod tests;
