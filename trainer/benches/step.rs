//! Speed of the training step on made-up samples, by kind and document length:
//! `cargo bench -p folio-trainer --bench step`.
//!
//! Prints the median step of each row; compare rows of one run only, these
//! machines are noisy. Then memory: what the process holds after 50 and after 500 steps, which should be the same.
#![allow(clippy::print_stdout, missing_docs)]

use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_engine::checkpoint::init_tensor;
use folio_engine::config::{Config, preset};
use folio_engine::model::Vist2;
use folio_trainer::aux_loss::CellHead;
use folio_trainer::data::{ChunkSample, Form, Sample, SampleKind};
use folio_trainer::metrics::rss_mb;
use folio_trainer::step::{Learner, StepPlan};
use std::time::Instant;

const STEPS: usize = 5;

fn main() {
    let config = preset("folio-nano").expect("a preset");
    let model = Vist2::build(
        &config,
        &mut |spec| Ok(init_tensor(&config, spec, 1)),
        &Default::default(),
    )
    .expect("valid");
    let head = CellHead::new(cells(&config), config.text.hidden_size, &Default::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut learner = Learner::<Autodiff<Flex>>::new(model, head, 1e-4, Default::default(), threads);
    let plan = StepPlan {
        embedding_lr: 1e-3,
        language_model_lr: 1e-3,
        vision_lr: 1e-3,
        aligner_lr: 1e-3,
        cells_weight: 0.1,
        tokens_weight: 0.5,
        directions_weight: 0.0,
        first_weight: 1.0,
        accumulate: 1,
        clip_norm: 1.0,
    };
    println!(
        "{:<6} {:>9} {:>7} {:>8} {:>9}",
        "kind", "documents", "chunks", "step s", "tokens/s"
    );
    for (kind, documents, chunks) in [
        (SampleKind::Read, 16, 1),
        (SampleKind::Olm, 8, 2),
        (SampleKind::Ocr, 8, 2),
        (SampleKind::Olm, 4, 5),
        (SampleKind::Olm, 2, 16),
    ] {
        let batch: Vec<Sample> = (0..documents).map(|_| sample(&config, kind, chunks)).collect();
        let mut times: Vec<f64> = (0..STEPS)
            .map(|_| {
                let start = Instant::now();
                learner.step(&batch, &plan);
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let median = times[STEPS / 2];
        let tokens: usize = batch.iter().map(Sample::tokens).sum();
        let name = format!("{kind:?}").to_lowercase();
        println!(
            "{name:<6} {documents:>9} {chunks:>7} {median:>8.3} {:>9.0}",
            tokens as f64 / median
        );
    }
    memory(&mut learner, &config, &plan);
}

/// Memory after many steps, in MB.
fn memory(learner: &mut Learner<Autodiff<Flex>>, config: &Config, plan: &StepPlan) {
    let batch: Vec<Sample> = (0..2).map(|_| sample(config, SampleKind::Olm, 2)).collect();
    for step in 1..=500 {
        learner.step(&batch, plan);
        if [50, 500].contains(&step) {
            let held = rss_mb().map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.0} MB"));
            println!("memory after {step} steps: {held}");
        }
    }
}

fn cells(config: &Config) -> usize {
    config
        .fold
        .as_ref()
        .map_or(1, |f| f.vision.patch_width / f.page.cell_width)
}

/// Full chunks with pages as long as prose gives them (27 strips).
fn sample(config: &Config, kind: SampleKind, chunks: usize) -> Sample {
    let fold = config.fold.as_ref().expect("it folds");
    let slots = 27;
    let chunk = |c: usize| ChunkSample {
        ids: (0..fold.chunk_tokens)
            .map(|i| ((i * 37 + c * 11) % config.text.vocab_size) as u32)
            .collect(),
        pages: (0..slots * fold.vision.patch_len()).map(|i| (i % 251) as u8).collect(),
        slots,
        text: String::new(),
        cells: vec![5; slots * cells(config)],
        patch_tokens: vec![vec![7, 9, 11]; slots],
        form: Form::Page,
        learn: true,
    };
    Sample {
        kind,
        document: 0,
        start: 0,
        chunks: (0..chunks).map(chunk).collect(),
    }
    .shaped(kind)
}
