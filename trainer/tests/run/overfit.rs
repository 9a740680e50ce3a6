//! One batch is learnt by heart in every stage: whatever a loss depends on gets its gradient.

use crate::house::tiny;
use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_engine::checkpoint::init_tensor;
use folio_engine::config::Config;
use folio_engine::model::Vist2;
use folio_trainer::aux_loss::CellHead;
use folio_trainer::compute::{Compute, Precision};
use folio_trainer::data::{ChunkSample, Form, Rng, Sample, SampleKind};
use folio_trainer::stats::StepStats;
use folio_trainer::step::{Learner, StepPlan, Weighing};

fn config(sees_text: bool) -> Config {
    let mut config = tiny();
    config.text.hidden_size = 32;
    config.fold.as_mut().unwrap().visual_sees_text = sees_text;
    config
}

fn cells(config: &Config) -> usize {
    let fold = config.fold.as_ref().unwrap();
    fold.vision.patch_width / fold.page.cell_width
}

/// Random text on pages of random pixels: nothing to guess, all to be remembered.
fn sample(config: &Config, kind: SampleKind, document: u64) -> Sample {
    let patch = config.fold.as_ref().unwrap().vision.patch_len();
    let mut number = 0;
    let mut chunk = |form, learn| {
        let slots = 2;
        // Before an `olm` document's first chunk stands nothing but BOS, which tells no two apart: they share its text.
        let shared = kind == SampleKind::Olm && number == 0;
        number += 1;
        let mut text = Rng::new(&[8, if shared { 0 } else { document }, number]);
        let mut rng = Rng::new(&[9, document, number]);
        ChunkSample {
            ids: (0..6).map(|_| text.below(200) as u32 + 10).collect(),
            pages: (0..slots * patch).map(|_| rng.below(256) as u8).collect(),
            slots,
            text: String::new(),
            cells: (0..slots * cells(config)).map(|_| rng.below(90) as u8).collect(),
            patch_tokens: vec![Vec::new(); slots],
            form,
            learn,
            given: 0,
        }
    };
    let chunks = match kind {
        SampleKind::Caption => vec![chunk(Form::PageText, true)],
        SampleKind::Sft => vec![
            chunk(Form::Page, false),
            ChunkSample {
                slots: 0,
                pages: Vec::new(),
                cells: Vec::new(),
                patch_tokens: Vec::new(),
                ..chunk(Form::Raw, false)
            },
            chunk(Form::Folded, true),
            chunk(Form::Open, true),
        ],
        _ => (0..3).map(|_| chunk(Form::Page, true)).collect(),
    };
    let sample = Sample {
        kind,
        document: document as usize,
        start: 0,
        chunks,
    };
    if kind == SampleKind::Sft {
        sample
    } else {
        sample.shaped(kind)
    }
}

fn plan(kind: SampleKind) -> StepPlan {
    let lr = 1e-2;
    StepPlan {
        embedding_lr: lr,
        language_model_lr: lr,
        vision_lr: lr,
        aligner_lr: lr,
        cells_weight: if kind == SampleKind::Read { 1.0 } else { 0.0 },
        tokens_weight: 0.0,
        directions_weight: 0.0,
        next_weight: 0.0,
        weighing: Weighing::ALIKE,
        accumulate: 1,
        clip_norm: 1.0,
    }
}

fn learn(kind: SampleKind, sees_text: bool) -> f64 {
    learn_by(kind, sees_text, Compute::default())
}

fn learn_by(kind: SampleKind, sees_text: bool, compute: Compute) -> f64 {
    let config = config(sees_text);
    let device = Default::default();
    let model = Vist2::build(&config, &mut |spec| Ok(init_tensor(&config, spec, 1)), &device).unwrap();
    let head = CellHead::new(cells(&config), config.text.hidden_size, &device);
    let mut learner = Learner::<Autodiff<Flex>>::new(model, head, 0.0, device, 1);
    learner.compute = compute;
    let batch: Vec<Sample> = (0..2).map(|d| sample(&config, kind, d)).collect();
    let mut plan = plan(kind);
    let loss = |stats: &StepStats| stats.loss_of(kind).unwrap();
    let first = loss(&learner.step(&batch, &plan));
    assert!(first > 3.0, "{kind:?} starts at {first}");
    let mut last = first;
    for step in 0..1500 {
        // A slower end: Adam circles around the bottom at a constant rate.
        if step % 300 == 299 {
            for lr in [
                &mut plan.embedding_lr,
                &mut plan.language_model_lr,
                &mut plan.vision_lr,
                &mut plan.aligner_lr,
            ] {
                *lr *= 0.6;
            }
        }
        last = loss(&learner.step(&batch, &plan));
        if last < 0.01 {
            break;
        }
    }
    last
}

#[test]
fn a_batch_is_learnt_by_heart_in_every_stage() {
    for kind in SampleKind::ALL {
        let loss = learn(kind, false);
        assert!(loss < 0.01, "{kind:?} ends at {loss} nats");
    }
}

#[test]
fn pages_that_see_their_text_are_learnt_too() {
    let loss = learn(SampleKind::Olm, true);
    assert!(loss < 0.01, "ends at {loss} nats");
}

#[test]
fn sixteen_bits_and_blocks_computed_again_learn_it_too() {
    let compute = Compute {
        precision: Precision::Bf16,
        activation_checkpointing: true,
    };
    for sees_text in [false, true] {
        let loss = learn_by(SampleKind::Olm, sees_text, compute);
        assert!(loss < 0.01, "ends at {loss} nats");
    }
}
