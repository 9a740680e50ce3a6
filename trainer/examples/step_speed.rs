//! Speed of the training step on synthetic samples: `cargo run --release -p folio-trainer --example step_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_engine::model::Vist2;
use folio_trainer::aux_loss::CellHead;
use folio_trainer::data::{ChunkSample, Sample, SampleKind};
use folio_trainer::step::{Learner, StepPlan};
use std::time::Instant;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let [docs, chunks, threads, steps] = args[..] else {
        panic!("docs chunks threads steps")
    };
    let config = folio_engine::config::preset("folio-nano").unwrap();
    let fold = config.fold.clone().unwrap();
    let mut seed = 1u64;
    let mut rnd = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as u32
    };
    let model = Vist2::build(
        &config,
        &mut |spec| {
            let n: usize = spec.shape.iter().product();
            if spec.name.contains("norm") && spec.name.ends_with("weight") {
                return Ok(vec![1.0; n]);
            }
            if spec.name.ends_with("bias") {
                return Ok(vec![0.0; n]);
            }
            Ok((0..n)
                .map(|_| (rnd() as f32 / u32::MAX as f32 * 2.0 - 0.5) * 0.04)
                .collect())
        },
        &Default::default(),
    )
    .unwrap();
    let slots = 27;
    let sample = |kind| Sample {
        kind,
        document: 0,
        start: 0,
        chunks: (0..chunks)
            .map(|c| ChunkSample {
                ids: (0..128).map(|i| ((i * 37 + c * 11) % 4096) as u32).collect(),
                pages: (0..slots * fold.vision.patch_len()).map(|i| (i % 251) as u8).collect(),
                slots,
                text: String::new(),
                cells: vec![5; slots * 20],
                patch_tokens: vec![vec![7, 9, 11]; slots],
            })
            .collect(),
    };
    let head = CellHead::new(20, config.text.hidden_size, &Default::default());
    let mut learner = Learner::<Autodiff<Flex>>::new(model, head, 0.0, Default::default(), threads);
    let plan = StepPlan {
        embedding_lr: 1e-3,
        language_model_lr: 1e-3,
        vision_lr: 1e-3,
        aligner_lr: 1e-3,
        cells_weight: 1.0,
        tokens_weight: 0.5,
        clip_norm: 1.0,
    };
    for task in [SampleKind::Read, SampleKind::Olm, SampleKind::Ocr] {
        let batch: Vec<_> = (0..docs).map(|_| sample(task)).collect();
        for s in 0..steps {
            let t = Instant::now();
            let stats = learner.step(&batch, &plan);
            let dt = t.elapsed().as_secs_f64();
            println!(
                "{task:?} step {s}: {dt:.3} s, {:.0} tokens/s, olm {:?} ocr {:?} cells {:?} tokens {:?} norms {:.3} {:.3}",
                (docs * chunks * 128) as f64 / dt,
                stats.olm.get(),
                stats.ocr.get(),
                stats.cells.get(),
                stats.tokens.get(),
                stats.language_norm,
                stats.vision_norm
            );
        }
    }
}
