//! scratch
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_trainer::aux_loss::CellHead;
use folio_trainer::data::*;
use folio_trainer::learner_state;
use folio_trainer::step::{Learner, StepPlan, StepStats};
use std::time::Instant;
use std::sync::Arc;
use std::path::Path;

fn main() {
    let e = |k: &str, d: f64| std::env::var(k).ok().map(|v| v.parse().unwrap()).unwrap_or(d);
    let config = folio_engine::config::preset("folio-nano").unwrap();
    let fold = config.fold.clone().unwrap();
    let tok = folio_engine::text::Tokenizer::load(Path::new("/work/scratch/tok4096")).unwrap();
    let out = std::env::var("OUT").unwrap();
    std::fs::create_dir_all(&out).unwrap();
    let src = sources(&["/work/shared/data/books-train.jsonl.zst".into()]).unwrap();
    let corpus = Corpus::open(&src, &tok, &std::fs::read("/work/scratch/tok4096/tokenizer.json").unwrap(), Some(1), Some(Path::new("/work/scratch/cache")), &|_| {}).unwrap();
    println!("tokens {}", corpus.tokens());
    let windows = Windows::new(Arc::new(corpus), tok, &fold, folio_engine::page::FontStack::embedded(), 1).unwrap();
    let model = learner_state::load_model::<Flex>(&config, None, 1, &Default::default()).unwrap();
    let head = CellHead::new(16, config.text.hidden_size, &Default::default());
    let mut learner = Learner::<Autodiff<Flex>>::new(model, head, 1e-4, Default::default(), 2);
    let read = e("READ", 300.) as u64; let total = e("STEPS", 1000.) as u64;
    let (docs, chunks) = (e("DOCS", 4.) as usize, e("CHUNKS", 4.) as usize);
    let lr = e("LR", 1.5e-3); let vlr = e("VLR", 1e-3);
    let ocr = e("OCR", 0.0);
    let mut prefetch = Prefetch::start(windows, 0, 4, move |step| {
        if step >= total { return None; }
        Some((0..docs as u64).map(|d| SampleRequest { index: step * docs as u64 + d, chunks, kind: if step < read { SampleKind::Read } else if (d as f64) < ocr * docs as f64 { SampleKind::Ocr } else { SampleKind::Olm } }).collect())
    });
    let mut sum = StepStats::default();
    let mut t = Instant::now();
    while let Some((step, batch, _wait)) = prefetch.next() {
        let s = if step < read { step } else { step - read };
        let n = if step < read { read } else { total - read };
        let f = if s < 30 { (s + 1) as f64 / 30. } else { 0.05 + 0.95 * 0.5 * (1. + (std::f64::consts::PI * s as f64 / n as f64).cos()) };
        let aux = if step < read { 1.0 } else { e("AUX", 0.2) };
        let plan = StepPlan { embedding_lr: lr * f, language_model_lr: lr * f, vision_lr: vlr * f, aligner_lr: vlr * f, cells_weight: aux, tokens_weight: aux * 0.5, clip_norm: 1.0 };
        let stats = learner.step(&batch, &plan);
        sum.merge(&stats);
        if step % 20 == 19 {
            let dt = t.elapsed().as_secs_f64(); t = Instant::now();
            println!("{step} {:.0} tok/s olm {:.3} first16 {:.3} ocr {:.3} cells {:.3} tokens {:.3} norms {:.2} {:.2}", (20 * docs * chunks * 128) as f64 / dt, sum.olm.get().unwrap_or(0.), sum.first16.get().unwrap_or(0.), sum.ocr.get().unwrap_or(0.), sum.cells.get().unwrap_or(0.), sum.tokens.get().unwrap_or(0.), sum.language_norm, sum.vision_norm);
            sum = StepStats::default();
        }
        if step % 500 == 499 || step + 1 == total { learner_state::save(&learner, &config, Path::new(&out)).unwrap(); }
    }
}
