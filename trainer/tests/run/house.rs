//! A folder with all that a run needs, and someone who watches it.

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
pub(crate) fn tiny() -> Config {
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

pub(crate) const RECIPE: &str = r#"
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
pub(crate) fn house() -> (tempfile::TempDir, PathBuf) {
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
pub(crate) struct Watch {
    pub(crate) stop_after: u64,
    stop: AtomicBool,
    pub(crate) losses: Vec<(u64, TrainLine)>,
    pub(crate) evaluations: Vec<EvalLine>,
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
    pub(crate) fn train(&mut self, setup: Setup) -> Result<Outcome> {
        self.stop.store(false, Ordering::Relaxed);
        let mut reporting = Reporting(&self.stop, self.stop_after, &mut self.losses, &mut self.evaluations);
        train::<Autodiff<Flex>>(setup, &Default::default(), &self.stop, &mut reporting)
    }
}

pub(crate) fn ready(recipe: &Path, out: &Path, resume: bool) -> Result<Setup> {
    prepare(recipe, Some(out), resume, &|_| {})
}
