//! Runs as processes of their own: this program calls itself, so that each has its own peak of memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;
use folio_benches::prompt::{self, Mode, PromptRun};
use folio_engine::config::Config;
use serde::{Deserialize, Serialize};

use super::Args;
use crate::model::{self, Device, Kv, Wish};
use crate::output;

/// One run; JSON on stdout.
#[derive(clap::Args, Debug)]
pub(crate) struct Measurement {
    model: PathBuf,
    mode: Mode,
    prompt_tokens: usize,
    decode_tokens: usize,
    #[arg(value_enum)]
    device: Device,
    #[arg(long, value_enum, default_value = "f32")]
    kv: Kv,
}

/// What one run gave, and on which device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) round: usize,
    pub(super) prompt_tokens: usize,
    pub(super) device: String,
    #[serde(flatten)]
    pub(super) figures: PromptRun,
}

impl Measurement {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let config = Config::load(&self.model)?;
        let wish = Wish {
            // Pages that are computed beside the open chunk take rows, too.
            slots: (self.prompt_tokens + self.decode_tokens + 1).min(config.text.max_position_embeddings),
            kv: self.kv,
            ..Wish::default()
        };
        let mut runner = model::open_runner(&self.model, &config, self.device, true, wish)?;
        let figures = prompt::measure(runner.as_mut(), self.mode, self.prompt_tokens, self.decode_tokens)?;
        let run = Run {
            round: 0,
            prompt_tokens: self.prompt_tokens,
            device: runner.device(),
            figures,
        };
        output::print(&serde_json::to_string(&run)?)
    }
}

/// All runs: in each round, every prompt folded and full in turns.
pub(super) fn measure(dir: &Path, args: &Args, prompts: &[usize]) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for round in 1..=args.rounds {
        for &tokens in prompts {
            for mode in [Mode::Folded, Mode::Full] {
                if !args.quiet {
                    eprintln!("round {round} of {}: {tokens} tokens, {mode:?}", args.rounds);
                }
                let mut run = spawn(dir, args, mode, tokens)?;
                run.round = round;
                if !args.quiet {
                    let figures = &run.figures;
                    eprintln!(
                        "  first token after {:.2} s, then {:.1} tokens/s",
                        figures.first_token_s, figures.decode_tokens_per_s
                    );
                }
                runs.push(run);
            }
        }
    }
    Ok(runs)
}

fn spawn(dir: &Path, args: &Args, mode: Mode, tokens: usize) -> anyhow::Result<Run> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let name =
        |value: Option<clap::builder::PossibleValue>| value.map_or_else(String::new, |v| v.get_name().to_owned());
    let output = Command::new(this)
        .args(["bench", "measure"])
        .arg(dir)
        .args([
            name(mode.to_possible_value()),
            tokens.to_string(),
            args.decode.to_string(),
        ])
        .arg(name(args.device.to_possible_value()))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the measurement")?;
    if !output.status.success() {
        bail!("the run of {tokens} tokens, {mode:?}, failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the measurement gave no result")
}
