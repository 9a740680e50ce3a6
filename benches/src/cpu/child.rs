//! The measurements as processes of their own: this program calls itself.

use crate::Settings;
use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use folio_benches::prompt::{self, Mode, PromptRun};
use folio_benches::steps::{self, StepRun};
use folio_engine::config::Config;
use folio_engine::model::load_cpu;
use folio_engine::runner::Runner;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One measurement; JSON on stdout.
#[derive(Subcommand)]
pub(crate) enum Measurement {
    /// A long prompt, then decoding.
    #[command(hide = true)]
    Prompt {
        /// Checkpoint folder.
        model: PathBuf,
        /// Folded or full.
        mode: Mode,
        /// Tokens read.
        prompt_tokens: usize,
        /// Tokens written.
        decode_tokens: usize,
    },
    /// One step at few and many slots.
    #[command(hide = true)]
    Steps {
        /// Checkpoint folder.
        model: PathBuf,
        /// Rounds.
        rounds: usize,
    },
}

impl Measurement {
    /// Measures and prints.
    ///
    /// # Errors
    /// The model cannot be loaded or run.
    pub(crate) fn run(&self) -> Result<()> {
        let json = match self {
            Self::Prompt {
                model,
                mode,
                prompt_tokens,
                decode_tokens,
            } => {
                let run = prompt::measure(load(model)?.as_mut(), *mode, *prompt_tokens, *decode_tokens)?;
                serde_json::to_string(&run)?
            }
            Self::Steps { model, rounds } => serde_json::to_string(&steps::measure(load(model)?.as_mut(), *rounds)?)?,
        };
        println!("{json}");
        Ok(())
    }
}

fn load(dir: &Path) -> Result<Box<dyn Runner>> {
    let config = Config::load(dir)?;
    Ok(load_cpu(dir, &config, &mut |_| {})?)
}

/// Runs [`Measurement::Prompt`] in a child process.
///
/// # Errors
/// The child fails.
pub(crate) fn prompt(model: &Path, mode: Mode, settings: &Settings) -> Result<PromptRun> {
    // Without folding a fold's share of the time is nothing: fewer tokens tell the speed as well.
    let decode = if mode == Mode::Folded {
        settings.decode_tokens
    } else {
        settings.decode_tokens.min(32)
    };
    let name = if mode == Mode::Folded { "folded" } else { "full" };
    let numbers = [settings.prompt_tokens.to_string(), decode.to_string()];
    spawn("prompt", model, &[name, &numbers[0], &numbers[1]])
}

/// Runs [`Measurement::Steps`] in a child process.
///
/// # Errors
/// The child fails.
pub(crate) fn steps(model: &Path, rounds: usize) -> Result<StepRun> {
    spawn("steps", model, &[&rounds.to_string()])
}

fn spawn<T: DeserializeOwned>(what: &str, model: &Path, args: &[&str]) -> Result<T> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(this);
    command.arg(what).arg(model).args(args).stderr(Stdio::inherit());
    let output = command.output().context("cannot start the measurement")?;
    ensure!(
        output.status.success(),
        "the measurement `{what}` failed ({})",
        output.status
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("the measurement `{what}` gave no result"))
}
