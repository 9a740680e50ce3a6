//! Sampling options: flags, then what a session file says, then the model's generation_config.json.

use std::path::Path;

use anyhow::Context;
use folio_engine::session::{Sampling, Settings};

use crate::failure::usage;

// Options of how tokens are drawn. (No doc comment: clap would make it the command's help.)
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct SamplingArgs {
    /// Randomness: 0 always takes the likeliest token, 1 the model's own distribution.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Draw from the K likeliest tokens; 0 is off.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together have probability P; 1 is off.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Draw from tokens at least P times as likely as the likeliest; 0 is off.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f64>,
    /// Divide the logits of the last 256 tokens by this; 1 is off.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repetition_penalty: Option<f64>,
    /// Seed of the random numbers: same seed, same text [default: 0].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// End the text where this string would come (not printed); may be given again.
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Never draw the end-of-text token.
    #[arg(long)]
    ignore_eos: bool,
}

impl SamplingArgs {
    /// `base` with the flags that were given.
    pub(crate) fn over(&self, base: Settings) -> anyhow::Result<Settings> {
        let old = base.sampling;
        let sampling = Sampling {
            repetition_penalty: self.repetition_penalty.unwrap_or(old.repetition_penalty),
            temperature: self.temperature.unwrap_or(old.temperature),
            top_k: self.top_k.unwrap_or(old.top_k),
            top_p: self.top_p.unwrap_or(old.top_p),
            min_p: self.min_p.unwrap_or(old.min_p),
            seed: self.seed.unwrap_or(old.seed),
        };
        let stop = if self.stop.is_empty() {
            base.stop
        } else {
            self.stop.clone()
        };
        if stop.iter().any(String::is_empty) {
            return Err(usage("--stop: an empty string would end every text at once"));
        }
        Ok(Settings {
            sampling,
            stop,
            ignore_eos: self.ignore_eos || base.ignore_eos,
            ..base
        })
    }

    /// Checks the flags' ranges, before any file is opened.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.over(Settings::default())?.sampling.validate().map_err(usage)
    }
}

/// A model's own defaults: `generation_config.json`, with Hugging Face's meaning (greedy unless `do_sample`).
pub(crate) fn defaults(dir: &Path) -> anyhow::Result<Sampling> {
    #[derive(serde::Deserialize)]
    struct File {
        do_sample: Option<bool>,
        temperature: Option<f64>,
        top_k: Option<usize>,
        top_p: Option<f64>,
        min_p: Option<f64>,
        repetition_penalty: Option<f64>,
    }
    let path = dir.join("generation_config.json");
    let off = Sampling::default();
    // A GGUF file says nothing of sampling.
    if dir.is_file() {
        return Ok(off);
    }
    let json = match std::fs::read(&path) {
        Ok(json) => json,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(off),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let file: File = serde_json::from_slice(&json).with_context(|| format!("{}: not valid", path.display()))?;
    let sampling = Sampling {
        repetition_penalty: file.repetition_penalty.unwrap_or(1.0),
        temperature: if file.do_sample == Some(true) {
            file.temperature.unwrap_or(1.0)
        } else {
            0.0
        },
        top_k: file.top_k.unwrap_or(0),
        top_p: file.top_p.unwrap_or(1.0),
        min_p: file.min_p.unwrap_or(0.0),
        ..off
    };
    sampling.validate().with_context(|| format!("{}", path.display()))?;
    Ok(sampling)
}
