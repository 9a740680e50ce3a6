//! One training step: lay samples out, run forward and backward (one thread a share of the batch), clip, step.

use crate::aux_loss::{CellHead, direction_loss, token_loss};
use crate::data::{ChunkSample, Sample, SampleKind};
use crate::layout::{Place, Places, layout};
use crate::linear_ce::{Answers, linear_ce};
use crate::optim::{Optimizer, Rate, add_gradients, squared_norms};
use crate::stats::StepStats;
use crate::weights::{Totals, weight};
use burn::module::{AutodiffModule, Module, ModuleMapper, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
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
    /// Weight of the first token after a fold; other tokens weigh 1.
    pub first_weight: f64,
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
    threads: usize,
}

struct Share {
    grads: GradientsParams,
    head_grads: GradientsParams,
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
            threads: threads.max(1),
        }
    }

    /// One optimiser step on `samples`.
    pub fn step(&mut self, samples: &[Sample], plan: &StepPlan) -> StepStats {
        let totals = Totals::of(samples, plan.first_weight);
        let per_thread = samples.len().div_ceil(self.threads).max(1);
        let shares: Vec<Share> = std::thread::scope(|scope| {
            let handles: Vec<_> = samples
                .chunks(per_thread)
                .map(|share| {
                    let (model, head, device) = (self.model.clone(), self.head.clone(), self.device.clone());
                    let totals = &totals;
                    scope.spawn(move || backward::<B>(model, head, share, plan, totals, &device))
                })
                .collect();
            handles
                .into_iter()
                .map(|h| h.join().expect("a share's thread panicked"))
                .collect()
        });
        let mut stats = StepStats::default();
        let (mut grads, mut head_grads) = (GradientsParams::new(), GradientsParams::new());
        for share in shares {
            stats.merge(&share.stats);
            add_gradients(&self.model, &mut grads, share.grads);
            add_gradients(&self.head, &mut head_grads, share.head_grads);
        }
        let norms = squared_norms(&self.model, &grads, &|name| usize::from(is_vision(name)), 2);
        stats.language_norm = norms[0].sqrt();
        stats.vision_norm = norms[1].sqrt();
        if !norms.iter().all(|n| n.is_finite()) {
            return stats; // The caller sees the norm and decides; the weights are untouched.
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
        self.model = self.optimizer.step(self.model.clone(), &mut grads, &rate);
        let head_rate = |_: &str| {
            Some(Rate {
                lr: plan.vision_lr,
                scale: 1.0,
            })
        };
        self.head = self.head_optimizer.step(self.head.clone(), &mut head_grads, &head_rate);
        stats
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
    samples: &[Sample],
    plan: &StepPlan,
    totals: &Totals,
    device: &B::Device,
) -> Share {
    // Leaves of its own for every thread: graphs that share a leaf would lock each other out.
    let model = Vist2::<B>::from_inner(model).map(&mut Leaves);
    let head = CellHead::<B>::from_inner(head).map(&mut Leaves);
    let config = model.config.clone();
    let fold = config.fold.as_ref().expect("the recipe is checked: the model can fold");
    let mut stats = StepStats::default();
    let mut grads = GradientsAccumulator::new();
    let mut head_grads = GradientsAccumulator::new();
    for kind in SampleKind::ALL {
        let of_task: Vec<&Sample> = samples.iter().filter(|s| s.kind == kind).collect();
        if of_task.is_empty() {
            continue;
        }
        let pages: Vec<&ChunkSample> = of_task
            .iter()
            .flat_map(|s| &s.chunks)
            .filter(|chunk| chunk.form.has_page())
            .collect();
        let documents: Vec<DocumentTokens> = of_task.iter().map(|s| layout(s, &config)).collect();
        let heads = (config.text.num_attention_heads, config.text.num_key_value_heads);
        let sees_text = fold.visual_sees_text && kind.starts_with_bos();
        let packed = Packed::<B>::new(&documents, sees_text, heads, fold.vision.patch_len(), device);
        let hidden = match kind {
            SampleKind::Read => model.encode_packed(&packed),
            _ => model.forward(&packed),
        };
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
            let targets: Vec<Target> = learnt.iter().map(|(target, _)| *target).collect();
            let n = targets.len();
            let answers = Answers {
                rows: (0..n).collect(),
                classes: targets.iter().map(|t| t.id as usize).collect(),
                weights: learnt
                    .iter()
                    .map(|(_, place)| (weight(*place, plan.first_weight) / totals.text) as f32)
                    .collect(),
            };
            let ce = linear_ce(hidden.predictors(&targets), model.head(), &answers, false);
            let sum = ce.nll.iter().map(|&nll| f64::from(nll)).sum();
            stats.of_kind(kind).add(sum, n as f64);
            for ((target, place), nll) in learnt.iter().zip(&ce.nll) {
                if place.folded_before && target.offset < 16 {
                    stats.first16.add(f64::from(*nll), 1.0);
                }
                if place.after_fold {
                    stats.first.add(f64::from(*nll), 1.0);
                }
            }
            stats.text_tokens += n;
            add(ce.surrogate);
        }
        if let Some(visual) = packed.compact_visual(hidden.visual.clone()) {
            let rows: usize = pages.iter().map(|p| p.slots).sum();
            let embedding = model.language_model.model.embed_tokens.weight.val();
            let squares = |t: Tensor<B, 2>| scalar(&t.inner().square().mean());
            let ratio = squares(visual.clone()) / squares(embedding.clone()).max(1e-30);
            stats.visual_scale.add(ratio.sqrt() * rows as f64, rows as f64);
            let share = rows as f64 / totals.slots;
            if plan.cells_weight > 0.0 {
                let classes: Vec<u8> = pages.iter().flat_map(|p| p.cells.iter().copied()).collect();
                let cells = head.loss(visual.clone(), &classes);
                stats.cells.add(scalar(&cells) * rows as f64, rows as f64);
                add(cells.mul_scalar(plan.cells_weight * share));
            }
            let tokens: Vec<Vec<u32>> = pages.iter().flat_map(|p| p.patch_tokens.iter().cloned()).collect();
            if plan.directions_weight > 0.0 {
                let (value, surrogate) = direction_loss(visual.clone(), embedding.clone(), &tokens);
                stats.directions.add(value * rows as f64, rows as f64);
                add(surrogate.mul_scalar(plan.directions_weight * share));
            }
            if plan.tokens_weight > 0.0 {
                let (value, surrogate) = token_loss(visual, embedding, &tokens);
                stats.tokens.add(value * rows as f64, rows as f64);
                add(surrogate.mul_scalar(plan.tokens_weight * share));
            }
        }
        if let Some(loss) = loss {
            let mut all = loss.backward();
            grads.accumulate(&model, GradientsParams::from_module(&mut all, &model));
            head_grads.accumulate(&head, GradientsParams::from_module(&mut all, &head));
        }
    }
    Share {
        grads: grads.grads(),
        head_grads: head_grads.grads(),
        stats,
    }
}

/// Makes every parameter a leaf that gathers a gradient.
struct Leaves;

impl<B: AutodiffBackend> ModuleMapper<B> for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor.detach().require_grad(), mapper)
    }
}

fn scalar<B: Backend>(t: &Tensor<B, 1>) -> f64 {
    t.clone()
        .into_data()
        .convert::<f64>()
        .as_slice::<f64>()
        .map_or(f64::NAN, |s| s[0])
}
