//! Speed of the training step on made-up samples, by kind and document length:
//! `cargo bench -p folio-trainer --bench step`.
//!
//! Prints the median step of each row; compare rows of one run only, these
//! machines are noisy. Then memory: what the process holds after 50 and after 500 steps, which should be the same.
//!
//! `cargo bench -p folio-trainer --bench step -- blocks [PRESET]`: what `activation_checkpointing` saves and costs, on a model
//! of a real shape (135 million parameters by default; 3 GB).
#![allow(clippy::print_stdout, missing_docs)]

use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_engine::checkpoint::init_tensor;
use folio_engine::config::{Config, preset};
use folio_engine::model::Vist2;
use folio_trainer::aux_loss::CellHead;
use folio_trainer::data::{ChunkSample, Form, Sample, SampleKind};
use folio_trainer::metrics::rss_mb;
use folio_trainer::step::{Learner, StepPlan, Weighing};
use std::time::Instant;

const STEPS: usize = 5;

const PLAN: StepPlan = StepPlan {
    embedding_lr: 1e-3,
    language_model_lr: 1e-3,
    vision_lr: 1e-3,
    aligner_lr: 1e-3,
    cells_weight: 0.1,
    tokens_weight: 0.5,
    directions_weight: 0.0,
    next_weight: 0.0,
    weighing: Weighing::ALIKE,
    accumulate: 1,
    clip_norm: 1.0,
};

fn learner(config: &Config, threads: usize) -> Learner<Autodiff<Flex>> {
    let device = Default::default();
    let model = Vist2::build(config, &mut |spec| Ok(init_tensor(config, spec, 1)), &device).expect("valid");
    let head = CellHead::new(cells(config), config.text.hidden_size, &device);
    Learner::new(model, head, 1e-4, device, threads)
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if arguments.next().is_some_and(|what| what == "blocks") {
        blocks(&arguments.next().unwrap_or_else(|| "smollm2-135m-folded".to_owned()));
        return;
    }
    let config = preset("folio-nano").expect("a preset");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut learner = learner(&config, threads);
    let plan = PLAN;
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
        // Attention costs O(K² + K·P) a chunk: what grows with the number of chunks is only the K·P of their memory.
        (SampleKind::Olm, 1, 16),
        (SampleKind::Olm, 1, 32),
        (SampleKind::Olm, 1, 64),
        (SampleKind::Olm, 1, 120),
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

/// One share of a batch with and without activation checkpointing: seconds, and the most memory beyond what weights, moments
/// and gradients take.
fn blocks(name: &str) {
    let config = preset(name).expect("the name of a preset");
    let chunks = 8;
    let batch = [sample(&config, SampleKind::Olm, chunks)];
    let tokens: usize = batch.iter().map(Sample::tokens).sum();
    println!("{name}, one document of {chunks} chunks, {tokens} tokens, one thread");
    let mut learner = learner(&config, 1);
    // Moments and buffers come to be.
    learner.step(&batch, &PLAN);
    for activation_checkpointing in [false, true] {
        learner.compute.activation_checkpointing = activation_checkpointing;
        let held = rss_mb().unwrap_or(f64::NAN);
        forget_peak();
        let start = Instant::now();
        learner.step(&batch, &PLAN);
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "activation_checkpointing = {activation_checkpointing}: {seconds:.1} s, at most {:.0} MB ({held:.0} MB before the step)",
            peak_mb().unwrap_or(f64::NAN)
        );
    }
}

/// Most memory that this process has held since [`forget_peak`], in MB; `None` where the system does not tell.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// From now on the peak is counted anew (Linux).
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
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
        given: 0,
    };
    Sample {
        kind,
        document: 0,
        start: 0,
        chunks: (0..chunks).map(chunk).collect(),
    }
    .shaped(kind)
}
