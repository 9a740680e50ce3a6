//! The gradients of a whole tiny model against finite differences of its loss, under every mask.
#![allow(clippy::unwrap_used)]

mod compute;

use super::*;
use crate::data::{Form, Memory, Rng};
use crate::parameters::{Parameter, parameters, with_parameters};
use burn::backend::Autodiff;
use burn::tensor::{TensorData, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use folio_engine::checkpoint::init_tensor;
use folio_engine::config::{AlignerKind, Config, preset};

fn config(sees_text: bool, aligner: AlignerKind) -> Config {
    let mut config = preset("folio-nano").unwrap();
    let text = &mut config.text;
    (
        text.vocab_size,
        text.hidden_size,
        text.intermediate_size,
        text.num_hidden_layers,
    ) = (60, 16, 24, 2);
    (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (4, 2, 4);
    let fold = config.fold.as_mut().unwrap();
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) = (16, 24, 2);
    vision.num_attention_heads = 2;
    (vision.image_width, vision.image_height) = (64, 64);
    (vision.patch_width, vision.patch_height) = (16, 16);
    (fold.chunk_tokens, fold.visual_tokens) = (12, 16);
    fold.visual_sees_text = sees_text;
    fold.aligner.kind = aligner;
    config
}

/// Documents of different lengths, with pages of different lengths.
fn sample(config: &Config, kind: SampleKind, document: u64) -> Sample {
    let patch = config.fold.as_ref().unwrap().vision.patch_len();
    let mut rng = Rng::new(&[3, document]);
    let mut chunk = |form, learn, slots: usize| ChunkSample {
        ids: (0..4 + rng.below(4)).map(|_| rng.below(50) as u32 + 5).collect(),
        pages: (0..slots * patch).map(|_| rng.below(256) as u8).collect(),
        slots,
        text: String::new(),
        cells: (0..slots * 2).map(|_| rng.below(90) as u8).collect(),
        patch_tokens: vec![vec![7, 9], vec![], vec![11]].into_iter().take(slots).collect(),
        form,
        learn,
        given: 0,
    };
    let bare = |chunk: ChunkSample| ChunkSample {
        slots: 0,
        pages: Vec::new(),
        cells: Vec::new(),
        patch_tokens: Vec::new(),
        ..chunk
    };
    let chunks = match kind {
        SampleKind::Caption => vec![chunk(Form::PageText, true, 3)],
        SampleKind::Sft => vec![
            chunk(Form::Page, false, 3),
            bare(chunk(Form::Raw, false, 0)),
            chunk(Form::Folded, true, 3),
            chunk(Form::Open, true, 3),
        ],
        _ => (0..2 + document)
            .map(|i| chunk(Form::Page, true, 2 + (i % 2) as usize))
            .collect(),
    };
    let sample = Sample {
        kind,
        document: document as usize,
        start: 0,
        chunks,
    };
    match kind {
        SampleKind::Sft => sample,
        _ => sample.shaped(kind),
    }
}

/// What is differentiated: text, cells, what follows a strip.
fn step_plan() -> StepPlan {
    StepPlan {
        embedding_lr: 0.0,
        language_model_lr: 0.0,
        vision_lr: 0.0,
        aligner_lr: 0.0,
        cells_weight: 0.7,
        tokens_weight: 0.0,
        directions_weight: 0.0,
        next_weight: 0.6,
        weighing: Weighing::ALIKE,
        accumulate: 1,
        clip_norm: 1.0,
    }
}

type Model = Vist2<Flex>;

fn share(model: &Model, head: &CellHead<Flex>, samples: &[Sample]) -> (f64, Share<Flex>) {
    share_by(model, head, samples, &step_plan(), Compute::default())
}

fn share_by(
    model: &Model,
    head: &CellHead<Flex>,
    samples: &[Sample],
    plan: &StepPlan,
    compute: Compute,
) -> (f64, Share<Flex>) {
    let totals = Totals::of(samples, Weighing::ALIKE, 0).over(&Alone).unwrap();
    let all: Vec<&Sample> = samples.iter().collect();
    let how = (plan, compute);
    let share = backward::<Autodiff<Flex>>(model.clone(), head.clone(), &all, how, &totals, &Default::default());
    let text: f64 = SampleKind::ALL
        .into_iter()
        .filter(|&kind| kind != SampleKind::Read)
        .map(|kind| {
            let mut stats = share.stats.clone();
            let mean = *stats.of_kind(kind);
            let tokens: usize = samples
                .iter()
                .filter(|s| s.kind == kind)
                .flat_map(|s| &s.chunks)
                .filter(|c| c.learn && c.form.has_text())
                .map(|c| c.own())
                .sum();
            mean.get().unwrap_or(0.0) * tokens as f64 / totals.text
        })
        .sum();
    let next = plan.next_weight * share.stats.next.sum() / totals.next;
    let cells = plan.cells_weight * share.stats.cells.get().unwrap_or(0.0);
    (text + next + cells, share)
}

fn values(t: &FlexTensor) -> Vec<f32> {
    t.to_contiguous().as_slice::<f32>().unwrap().to_vec()
}

/// A model with larger weights than a fresh one's (a flat function would hide what is wrong), and a head.
fn model(config: &Config) -> (Model, CellHead<Flex>) {
    let device = Default::default();
    let model = Model::build(config, &mut |spec| Ok(init_tensor(config, spec, 4)), &device).unwrap();
    let larger = parameters(&model)
        .into_iter()
        .map(|p| {
            let factor = if p.value.shape().num_dims() > 1 { 4.0 } else { 1.0 };
            let data: Vec<f32> = values(&p.value).into_iter().map(|x| x * factor).collect();
            Some(FlexTensor::from_data(TensorData::new(data, p.value.shape())))
        })
        .collect();
    let mut rng = Rng::new(&[6]);
    let n = 2 * crate::aux_loss::CELL_CLASSES * config.text.hidden_size;
    let weight: Vec<f32> = (0..n).map(|_| (rng.unit() - 0.5) as f32 * 0.1).collect();
    let weight = Tensor::from_data(
        TensorData::new(weight, [n / config.text.hidden_size, config.text.hidden_size]),
        &device,
    );
    let head = CellHead {
        weight: burn::module::Param::from_tensor(weight),
    };
    (with_parameters(model, larger), head)
}

#[test]
fn a_share_without_anything_to_learn_learns_nothing() {
    let config = config(false, AlignerKind::Mlp);
    let (model, head) = model(&config);
    let mut silent = sample(&config, SampleKind::Sft, 0);
    silent.chunks.iter_mut().for_each(|chunk| chunk.learn = false);
    let plan = StepPlan {
        cells_weight: 0.0,
        next_weight: 0.0,
        ..step_plan()
    };
    for activation_checkpointing in [false, true] {
        let compute = Compute {
            activation_checkpointing,
            ..Compute::default()
        };
        let (loss, share) = share_by(&model, &head, std::slice::from_ref(&silent), &plan, compute);
        assert_eq!((loss, share.stats.text_tokens), (0.0, 0));
        assert!(share.grads.iter().flatten().flat_map(values).all(|slope| slope == 0.0));
    }
}

/// Slopes along the gradient itself and along a random direction, tensor by tensor.
fn check(config: &Config, samples: &[Sample]) {
    let (model, head) = model(config);
    let (_, analytic) = share(&model, &head, samples);
    let all = parameters(&model);
    for (i, Parameter { name, value }) in all.iter().enumerate() {
        let Some(gradient) = &analytic.grads[i] else { continue };
        let (w, g) = (values(value), values(gradient));
        let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let mut rng = Rng::new(&[i as u64]);
        let random: Vec<f32> = g.iter().map(|_| (rng.unit() - 0.5) as f32).collect();
        for direction in [&g, &random] {
            let length = norm(direction);
            if length == 0.0 {
                continue;
            }
            // Small enough for the curvature, large enough for the rounding of the loss.
            let h = 4e-3 * norm(&w).clamp(0.5, 4.0);
            let moved = |by: f64| {
                let data: Vec<f32> = w
                    .iter()
                    .zip(direction)
                    .map(|(w, d)| w + (by * f64::from(*d) / length) as f32)
                    .collect();
                let mut list = vec![None; all.len()];
                list[i] = Some(FlexTensor::from_data(TensorData::new(data, value.shape())));
                share(&with_parameters(model.clone(), list), &head, samples).0
            };
            // Richardson: the error of a central difference falls with h², so two of them give one without it.
            let central = |h: f64| (moved(h) - moved(-h)) / (2.0 * h);
            let slope = (4.0 * central(h / 2.0) - central(h)) / 3.0;
            let want: f64 = g
                .iter()
                .zip(direction)
                .map(|(g, d)| f64::from(*g) * f64::from(*d))
                .sum::<f64>()
                / length;
            let error = (slope - want).abs();
            assert!(
                error < 1e-3 + 0.03 * norm(&g).min(want.abs().max(0.1 * norm(&g))),
                "{name}: the gradient says {want}, the loss {slope}"
            );
        }
    }
}

#[test]
fn gradients_are_the_loss_s_slopes_under_every_mask() {
    for kind in SampleKind::ALL {
        for sees_text in [false, true] {
            let config = config(sees_text, AlignerKind::Tanh);
            let samples: Vec<Sample> = (0..2).map(|d| sample(&config, kind, d)).collect();
            check(&config, &samples);
        }
    }
}

#[test]
fn gradients_are_the_loss_s_slopes_for_text_read_again_and_in_the_controls() {
    let config = config(false, AlignerKind::Tanh);
    let samples = || (0..2).map(|d| sample(&config, SampleKind::Olm, d));
    let again: Vec<Sample> = samples().map(|s| s.unfolded(3)).collect();
    assert!(again.iter().all(|s| s.chunks.last().unwrap().given > 0));
    check(&config, &again);
    let ends: Vec<Sample> = samples().map(|s| s.rereading(2)).collect();
    assert!(ends.iter().all(|s| s.chunks[1..].iter().all(|chunk| chunk.given > 0)));
    check(&config, &ends);
    for memory in [Memory::Full, Memory::Window, Memory::None] {
        let samples: Vec<Sample> = samples().map(|s| s.remembering(memory)).collect();
        check(&config, &samples);
    }
}

#[test]
fn gradients_are_the_loss_s_slopes_for_kinds_mixed_and_every_aligner() {
    for aligner in [AlignerKind::Linear, AlignerKind::Mlp] {
        let config = config(false, aligner);
        let kinds = [SampleKind::Olm, SampleKind::Ocr, SampleKind::Read];
        let samples: Vec<Sample> = kinds
            .iter()
            .zip(0..)
            .map(|(&kind, d)| sample(&config, kind, d))
            .collect();
        check(&config, &samples);
    }
}

#[test]
fn accumulated_batches_are_one_batch() {
    let config = config(false, AlignerKind::Tanh);
    let samples: Vec<Sample> = (0..4).map(|d| sample(&config, SampleKind::Olm, d)).collect();
    let device = Default::default();
    let learnt = |accumulate| {
        let model = Model::build(&config, &mut |spec| Ok(init_tensor(&config, spec, 4)), &device).unwrap();
        let weight = Tensor::ones([2 * crate::aux_loss::CELL_CLASSES, config.text.hidden_size], &device);
        let head = CellHead {
            weight: burn::module::Param::from_tensor(weight),
        };
        let mut learner = Learner::<Autodiff<Flex>>::new(model, head, 0.0, device, 1);
        let plan = StepPlan {
            accumulate,
            clip_norm: 1e9,
            vision_lr: 1e-3,
            language_model_lr: 1e-3,
            directions_weight: 0.3,
            ..step_plan()
        };
        let stats = learner.step(&samples, &plan);
        (
            stats.language_norm,
            stats.vision_norm,
            stats.olm.get(),
            stats.directions.get(),
        )
    };
    let (one, four) = (learnt(1), learnt(4));
    assert!(
        (one.0 - four.0).abs() < 1e-5 * one.0 && (one.1 - four.1).abs() < 1e-5 * one.1,
        "{one:?} {four:?}"
    );
    assert!((one.2.unwrap() - four.2.unwrap()).abs() < 1e-5 && (one.3.unwrap() - four.3.unwrap()).abs() < 1e-5);
}
