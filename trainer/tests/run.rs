//! Whole runs of a tiny model: stopping and resuming changes nothing, and what a run writes can be used.
#![allow(clippy::unwrap_used, missing_docs)]

use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_engine::config::{Config, preset};
use folio_trainer::Result;
use folio_trainer::data::sources;
use folio_trainer::metrics::{EvalLine, TrainLine};
use folio_trainer::run::{Outcome, Reporter, train};
use folio_trainer::setup::{Setup, prepare};
use folio_trainer::tokenizer_train;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A model of some ten thousand parameters: pages of 32 by 4 cells, chunks of 24 tokens.
fn tiny() -> Config {
    let mut config = preset("folio-nano").unwrap();
    let text = &mut config.text;
    (
        text.vocab_size,
        text.hidden_size,
        text.intermediate_size,
        text.num_hidden_layers,
    ) = (300, 16, 32, 1);
    (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (2, 1, 8);
    let fold = config.fold.as_mut().unwrap();
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) = (16, 32, 1);
    vision.num_attention_heads = 2;
    (vision.image_width, vision.image_height) = (256, 64);
    (vision.patch_width, vision.patch_height) = (128, 16);
    (fold.chunk_tokens, fold.visual_tokens) = (24, 8);
    config
}

const RECIPE: &str = r#"
model = "DIR/config.json"
tokenizer = "DIR/tokenizer"
out = "DIR/run"
seed = 5
threads = 1
[data]
train = ["DIR/train.txt"]
valid = ["DIR/train.txt"]
cache = "DIR/cache"
[[stage]]
kind = "read"
steps = 3
batch = 2
chunks = 1
lr = { vision = 1e-2, aligner = 1e-2 }
aux = { cells = 1.0, tokens = 0.5 }
[[stage]]
kind = "olm"
steps = 6
batch = 2
chunks = [1, 3]
ocr_share = 0.5
lr = { embedding = 1e-2, language_model = 1e-2, vision = 1e-2, aligner = 1e-2 }
aux = { cells = 0.1, tokens = 0.1 }
warmup_ratio = 0.2
[eval]
every = 4
documents = 2
chunks = 2
[log]
every = 1
"#;

/// A folder with data, tokenizer, configuration and recipe.
fn house() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "a lamp",
        "the river",
        "seven birds",
        "went over",
        "stood still;",
        "and then",
        "no one\n",
        "knew why.",
    ];
    let text: String = (0..4000u64)
        .map(|i| format!("{} ", words[(i * i * 31 + i / 7) as usize % words.len()]))
        .collect();
    std::fs::write(dir.path().join("train.txt"), text).unwrap();
    let files = sources(&[dir.path().join("train.txt")]).unwrap();
    let tokenizer = tokenizer_train::train(&files, 300, 1 << 20).unwrap();
    tokenizer_train::write(&tokenizer, &dir.path().join("tokenizer")).unwrap();
    std::fs::write(dir.path().join("config.json"), tiny().to_json()).unwrap();
    let recipe = dir.path().join("recipe.toml");
    std::fs::write(&recipe, RECIPE.replace("DIR", &dir.path().display().to_string())).unwrap();
    (dir, recipe)
}

/// Sets `stop` when a step is done.
#[derive(Default)]
struct Watch {
    stop_after: u64,
    stop: AtomicBool,
    losses: Vec<(u64, TrainLine)>,
    evaluations: Vec<EvalLine>,
}

struct Reporting<'a>(
    &'a AtomicBool,
    u64,
    &'a mut Vec<(u64, TrainLine)>,
    &'a mut Vec<EvalLine>,
);

impl Reporter for Reporting<'_> {
    fn step(&mut self, done: u64, _line: &TrainLine) {
        if done == self.1 {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    fn logged(&mut self, line: &TrainLine) {
        self.2.push((line.step, line.clone()));
    }
    fn evaluated(&mut self, line: &EvalLine) {
        self.3.push(line.clone());
    }
    fn saved(&mut self, _checkpoint: &Path) {}
}

impl Watch {
    fn train(&mut self, setup: Setup) -> Result<Outcome> {
        self.stop.store(false, Ordering::Relaxed);
        let mut reporting = Reporting(&self.stop, self.stop_after, &mut self.losses, &mut self.evaluations);
        train::<Autodiff<Flex>>(setup, &Default::default(), &self.stop, &mut reporting)
    }
}

fn ready(recipe: &Path, out: &Path, resume: bool) -> Result<Setup> {
    prepare(recipe, Some(out), resume, &|_| {})
}

fn bytes(out: &Path, file: &str) -> Vec<u8> {
    std::fs::read(out.join("step_000009").join(file)).unwrap()
}

#[test]
fn a_resumed_run_ends_where_an_uninterrupted_one_does() {
    let (dir, recipe) = house();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let mut one = Watch::default();
    assert_eq!(
        one.train(ready(&recipe, &whole, false).unwrap()).unwrap(),
        Outcome::Finished
    );
    assert_eq!(one.losses.len(), 9);
    assert_eq!(one.evaluations.iter().map(|e| e.step).collect::<Vec<_>>(), [4, 8, 9]);

    // Stopped in the first stage and again in the second.
    let mut other = Watch::default();
    for (stop_after, resume, outcome) in [
        (2, false, Outcome::Stopped),
        (6, true, Outcome::Stopped),
        (0, true, Outcome::Finished),
    ] {
        other.stop_after = stop_after;
        assert_eq!(other.train(ready(&recipe, &parts, resume).unwrap()).unwrap(), outcome);
    }
    for file in ["model.safetensors", "optimizer.safetensors"] {
        assert!(
            bytes(&whole, file) == bytes(&parts, file),
            "{file} differs after resuming"
        );
    }
    for ((step, a), (other_step, b)) in one.losses.iter().zip(&other.losses) {
        assert_eq!(
            (step, a.loss, a.cells_loss, a.lr),
            (other_step, b.loss, b.cells_loss, b.lr)
        );
    }
    let lines = |out: &Path| {
        std::fs::read_to_string(out.join("metrics.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(lines(&whole), lines(&parts));
    // And a different seed is a different run.
    let text = std::fs::read_to_string(&recipe)
        .unwrap()
        .replace("seed = 5", "seed = 6");
    std::fs::write(&recipe, text).unwrap();
    let error = ready(&recipe, &parts, true).unwrap_err().to_string();
    assert!(error.contains("seed is 6"), "{error}");
    Watch::default()
        .train(ready(&recipe, &dir.path().join("third"), false).unwrap())
        .unwrap();
    assert!(bytes(&whole, "model.safetensors") != bytes(&dir.path().join("third"), "model.safetensors"));
}

#[test]
fn stages_train_their_parts_and_freeze_the_others() {
    let (dir, recipe) = house();
    let out = dir.path().join("run");
    // Saved by step, so that the end of the first stage is there to compare.
    let text = std::fs::read_to_string(&recipe).unwrap() + "[checkpoint]\nevery = 3\nkeep = 9\n";
    std::fs::write(&recipe, text).unwrap();
    let mut watch = Watch::default();
    watch.train(ready(&recipe, &out, false).unwrap()).unwrap();
    let config = tiny();
    let read = |step: &str| folio_engine::checkpoint::Checkpoint::open(&out.join(step)).unwrap();
    let (first, last) = (read("step_000003"), read("step_000009"));
    for spec in folio_engine::checkpoint::tensors(&config) {
        let start = folio_engine::checkpoint::init_tensor(&config, &spec, 5);
        let after_read = first.read_f32(&spec).unwrap();
        let frozen = spec.name.starts_with("language_model.");
        assert_eq!(after_read == start, frozen, "{} after the read stage", spec.name);
        assert!(last.read_f32(&spec).unwrap() != start, "{} never learnt", spec.name);
    }
    let evaluation = watch.evaluations.last().unwrap();
    for loss in [
        evaluation.eval_loss,
        evaluation.eval_none_loss,
        evaluation.eval_ocr_loss,
    ] {
        assert!(loss.unwrap().is_finite() && loss.unwrap() < 5.9, "{evaluation:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_training() {
    let (dir, recipe) = house();
    let text = std::fs::read_to_string(&recipe).unwrap();
    let refused = |from: &str, to: &str| {
        std::fs::write(&recipe, text.replacen(from, to, 1)).unwrap();
        ready(&recipe, &dir.path().join("out"), false).unwrap_err().to_string()
    };
    assert!(refused("config.json", "absent.json").contains("nor a preset"));
    assert!(refused("/train.txt", "/absent.txt").contains("absent.txt"));
    assert!(refused("/tokenizer\"", "/nowhere\"").contains("nowhere"));
    let mut small = tiny();
    small.text.vocab_size = 100;
    std::fs::write(dir.path().join("small.json"), small.to_json()).unwrap();
    assert!(refused("config.json", "small.json").contains("vocab_size is 100"));
    let mut text_only = tiny();
    text_only.fold = None;
    std::fs::write(dir.path().join("text.json"), text_only.to_json()).unwrap();
    assert!(refused("config.json", "text.json").contains("text-only"));
    assert!(!dir.path().join("out").exists(), "a refused run left a folder");
    std::fs::write(&recipe, &text).unwrap();
    ready(&recipe, &dir.path().join("out"), false).unwrap();
}
