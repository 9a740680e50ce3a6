//! The recipe file: everything that a training run is made of.
//!
//! TOML; paths are relative to where the command runs. An unknown key is an error. `recipes/README.md` has every key for people.

mod bounds;
mod check;
mod chunks;
mod curriculum;
mod drawn;
mod load;
mod plan;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod reference;
mod schedule;

pub use check::{check_chunks, check_tokenizer};
pub use chunks::ChunkRange;
pub use curriculum::{Curriculum, CurriculumStep, LAG};
pub use drawn::Drawn;
pub use plan::{Plan, StepSpec};
pub use schedule::lr_factor;

use crate::compute::{Compute, Precision};
use crate::data::{DataKind, Memory, SampleKind};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What to train: a preset's name, the path of a `config.json`, or a model folder, whose weights are then the
    /// start. Without a folder the weights are random, by `seed`.
    pub model: String,
    /// Folder with `tokenizer.json` and `tokenizer_config.json`. Default: the model folder.
    pub tokenizer: Option<PathBuf>,
    /// What the model remembers of finished chunks: `vision` (default) or one of the controls of spec section 6, trained on
    /// the same text in the same steps: `full` (all text), `window` (the newest slots, as many as folding would hold),
    /// `none` (the open chunk only), `mean_pool` and `conv_pyramid` (means of, or convolutions over, the chunk's token
    /// embeddings in place of visual tokens), `shuffled_pages` (the pages of other text). The first three have no pages:
    /// the steps of `read` stages do nothing, and `ocr` samples are trained on as `olm` samples.
    #[serde(default)]
    pub memory: Memory,
    /// Overrides the model's `visual_sees_text`: whether a page's visual tokens also see the text that they replace.
    #[serde(default)]
    pub visual_sees_text: Option<bool>,
    /// Overrides the model's `reread_tokens`: how many tokens at the end of a page are read again in front of the next chunk.
    #[serde(default)]
    pub reread_tokens: Option<usize>,
    /// Where the run lives: checkpoints, `metrics.jsonl`, tokenised data. `--out` overrides it.
    pub out: PathBuf,
    /// Seed of the weights and of the data order.
    #[serde(default)]
    pub seed: u64,
    /// Threads that share a batch on a CPU. Default: one for each core.
    #[serde(default)]
    pub threads: Option<usize>,
    /// What matrix products take: `f32` (default) or `bf16` (`--device cuda` or `cpu`; on processors with
    /// AVX512-BF16 it is the quicker one). Weights, moments, gradients, norms and softmax are f32 either way.
    #[serde(default)]
    pub precision: Precision,
    /// Keeps only what goes into each block of decoder and encoder, and computes the rest again in the backward pass: about a
    /// third more work, for a fraction of the memory. The gradients are the same.
    #[serde(default)]
    pub activation_checkpointing: bool,
    /// AdamW's weight decay, on matrices.
    #[serde(default = "default::weight_decay")]
    pub weight_decay: f32,
    /// The text.
    pub data: DataRecipe,
    /// Stages, in order.
    pub stage: Vec<StageRecipe>,
    /// Validation.
    #[serde(default)]
    pub eval: EvalRecipe,
    /// Checkpoints.
    #[serde(default)]
    pub checkpoint: CheckpointRecipe,
    /// Log.
    #[serde(default)]
    pub log: LogRecipe,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Training files or folders: .jsonl or .txt, plain, .gz or .zst. Short for a `[[data.set]]` of this name.
    #[serde(default)]
    pub train: Vec<PathBuf>,
    /// Whether `train` is streamed; see `[[data.set]]`.
    #[serde(default)]
    pub stream: bool,
    /// More data sets: other kinds, or a mixture of texts by weight.
    #[serde(default)]
    pub set: Vec<SetRecipe>,
    /// Validation files or folders; may be empty.
    #[serde(default)]
    pub valid: Vec<PathBuf>,
    /// Folder of the tokenised data. Default: `cache` in the run's folder.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// Threads that cut and draw batches ahead of the steps.
    #[serde(default = "default::workers")]
    pub workers: usize,
}

/// `[[data.set]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRecipe {
    /// What stages call it by.
    pub name: String,
    /// `text` (default), `caption` (lines of `image`, `caption`), or `chat` (lines of `messages`).
    #[serde(default)]
    pub kind: DataKind,
    /// Files or folders.
    pub files: Vec<PathBuf>,
    /// Text in many shards: every file is tokenised when the run comes near it, documents come in shuffled order, each
    /// about once an epoch. Otherwise all text is tokenised at the start, and windows are taken at random places.
    #[serde(default)]
    pub stream: bool,
    /// How often it is drawn, against the other sets of its stage.
    #[serde(default = "default::weight")]
    pub weight: f64,
}

impl Recipe {
    /// How its steps are computed.
    pub fn compute(&self) -> Compute {
        Compute {
            precision: self.precision,
            activation_checkpointing: self.activation_checkpointing,
        }
    }

    /// All data sets: `data.train`, if it names files, then those of `[[data.set]]`.
    pub fn sets(&self) -> Vec<SetRecipe> {
        let train = SetRecipe {
            name: "train".to_owned(),
            kind: DataKind::Text,
            files: self.data.train.clone(),
            stream: self.data.stream,
            weight: 1.0,
        };
        let first = (!train.files.is_empty()).then_some(train);
        first.into_iter().chain(self.data.set.iter().cloned()).collect()
    }
}

/// `[[stage]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecipe {
    /// `read` (encoder warm-up: name what the page shows, no decoder), `caption`, `ocr`, `olm`, or `sft`.
    pub kind: SampleKind,
    /// Names of the data sets to draw from. Default: all of the kind that the stage needs.
    #[serde(default)]
    pub data: Vec<String>,
    /// Optimiser steps.
    pub steps: u64,
    /// Documents in a batch of one process.
    pub batch: usize,
    /// Batches that make up a step, taken one after another: a step of `batch × accumulate` documents (times the
    /// processes) in the memory of `batch`.
    #[serde(default = "default::accumulate")]
    pub accumulate: usize,
    /// Chunks (pages) of each document: a number, or `[min, max]` drawn anew every step. `sft`: most chunks of a
    /// response, no limit without it; `caption` has none.
    #[serde(default)]
    pub chunks: ChunkRange,
    /// `caption`, `sft`: most text tokens of a sample. Longer ones are cut at their end; a chat whose prompt leaves no
    /// room gives way to the next.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// Other numbers of chunks for the start of the stage, each until a step or until a loss is reached; `chunks` holds
    /// after the last.
    #[serde(default)]
    pub curriculum: Vec<CurriculumStep>,
    /// Tokens of a chunk, a number or `[min, max]` drawn anew every step, at most the model's K. Default: K. Short
    /// chunks are folded often, so that most of what a token may know of the text before it stands on pages.
    #[serde(default)]
    pub chunk_tokens: Option<ChunkRange>,
    /// Share of samples whose words are in random order, 0 to 1: such text can only be read, not guessed.
    #[serde(default)]
    pub shuffled_share: f64,
    /// Share of `olm` samples (those of `ocr_share` are never among them), 0 to 1, whose last chunk follows the text of an earlier page, as `--unfold 1` reads it again: the page
    /// that has most in common with the chunk. `olm` stages only; controls leave it out.
    #[serde(default)]
    pub unfolded_share: f64,
    /// Weight of the first `first_tokens` tokens after a fold, against 1 for all other tokens. `olm` and
    /// `sft` stages only: others have no folds.
    #[serde(default = "default::first_weight")]
    pub first_weight: f64,
    /// How many tokens after a fold `first_weight` goes for: those before them stand on the page only, four to a visual token.
    #[serde(default = "default::first_tokens")]
    pub first_tokens: usize,
    /// Weight of tokens that repeat what stands on an earlier page (those that end a run of twelve tokens that stands there),
    /// against 1 for all other tokens. `olm` and `sft` stages only.
    #[serde(default = "default::repeat_weight")]
    pub repeat_weight: f64,
    /// Share of `ocr` samples in an `olm` stage, 0 to 1.
    #[serde(default)]
    pub ocr_share: f64,
    /// Peak learning rates; 0 (or none) freezes the part.
    pub lr: LrRecipe,
    /// Weights of the auxiliary losses.
    #[serde(default)]
    pub aux: AuxRecipe,
    /// Share of the stage's steps over which the rates rise from 0.
    #[serde(default = "default::warmup_ratio")]
    pub warmup_ratio: f64,
    /// What the cosine ends at, as a share of the peak.
    #[serde(default = "default::min_lr_ratio")]
    pub min_lr_ratio: f64,
    /// Largest gradient norm, of the language side and of the vision side each.
    #[serde(default = "default::clip_norm")]
    pub clip_norm: f64,
}

/// `[stage.lr]`: peak learning rates by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LrRecipe {
    /// Token embedding and output head.
    pub embedding: f64,
    /// The decoder's blocks.
    pub language_model: f64,
    /// The vision encoder.
    pub vision: f64,
    /// The aligner.
    pub aligner: f64,
}

/// `[stage.aux]`: weights of the auxiliary losses; 0 switches one off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuxRecipe {
    /// Naming the character in every cell of a patch.
    pub cells: f64,
    /// Naming the tokens that begin in a patch by the dot product with their embeddings. It makes visual tokens many
    /// times longer than text tokens; `directions` does not.
    pub tokens: f64,
    /// Naming the tokens that begin in a patch by the angle to their embeddings.
    pub directions: f64,
    /// Predicting, from every visual token of a folded page, the token that follows its stretch of text; without it only a
    /// page's last visual token predicts anything (with `reread_tokens`, none). `olm` and `sft` stages only. With `visual_sees_text` a
    /// visual token sees, in steps with this loss, its page's text up to the end of its own stretch.
    pub next: f64,
}

/// `[eval]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalRecipe {
    /// Steps between validations; 0: only at the end.
    pub every: u64,
    /// Windows to validate on.
    pub documents: usize,
    /// Chunks of each.
    pub chunks: usize,
    /// Tokens of the two sample texts that each validation writes to `samples/`; 0: none.
    pub sample_tokens: usize,
}

impl Default for EvalRecipe {
    fn default() -> Self {
        Self {
            every: 500,
            documents: 16,
            chunks: 6,
            sample_tokens: 160,
        }
    }
}

/// `[checkpoint]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRecipe {
    /// Steps between checkpoints; 0: none by step.
    pub every: u64,
    /// Minutes between checkpoints; 0: none by time.
    pub minutes: f64,
    /// How many of the newest to keep (the best by validation is kept besides).
    pub keep: usize,
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self {
            every: 0,
            minutes: 10.0,
            keep: 2,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogRecipe {
    /// Steps between lines of `metrics.jsonl`.
    pub every: u64,
}

impl Default for LogRecipe {
    fn default() -> Self {
        Self { every: 10 }
    }
}

mod default {
    pub(super) fn accumulate() -> usize {
        1
    }
    pub(super) fn workers() -> usize {
        1
    }
    pub(super) fn weight() -> f64 {
        1.0
    }
    pub(super) fn weight_decay() -> f32 {
        1e-4
    }
    pub(super) fn warmup_ratio() -> f64 {
        0.01
    }
    pub(super) fn min_lr_ratio() -> f64 {
        0.1
    }
    pub(super) fn first_weight() -> f64 {
        1.0
    }
    pub(super) fn first_tokens() -> usize {
        1
    }
    pub(super) fn repeat_weight() -> f64 {
        1.0
    }
    pub(super) fn clip_norm() -> f64 {
        1.0
    }
}
