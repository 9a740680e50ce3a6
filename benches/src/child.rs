//! The measurements as processes of their own: this program calls itself.

use crate::Settings;
use crate::prompt::{self, PromptRun};
use crate::steps::{self, StepRun};
use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use folio_engine::config::Config;
use folio_engine::model::load_cpu;
use folio_engine::runner::Runner;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the context is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Finished chunks become pages.
    Folded,
    /// Plain attention over all text.
    Full,
}

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

/// A runner that only keeps the books, to test the measurements with.
#[cfg(test)]
pub(crate) mod stand_in {
    use folio_engine::config::{Config, preset};
    use folio_engine::context::Context;
    use folio_engine::page::{PageImage, Patches};
    use folio_engine::runner::{Folded, Logits, Runner, Want};
    use folio_engine::{Error, Result};

    pub(crate) struct StandIn {
        config: Config,
        context: Context,
    }

    impl StandIn {
        pub(crate) fn new() -> Self {
            Self {
                config: preset("folio-nano").expect("a preset"),
                context: Context::new(),
            }
        }

        fn logits(want: Want) -> Logits {
            let data = if want == Want::Nothing {
                Vec::new()
            } else {
                vec![0.0, 1.0]
            };
            Logits { data, vocab: 2 }
        }
    }

    impl Runner for StandIn {
        fn config(&self) -> &Config {
            &self.config
        }
        fn context(&self) -> &Context {
            &self.context
        }
        fn reset(&mut self) {
            self.context = Context::new();
        }
        fn extend(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
            let (slots, limit) = (
                self.context.slots() + ids.len(),
                self.config.text.max_position_embeddings,
            );
            if slots > limit {
                return Err(Error::ContextFull { slots, limit });
            }
            self.context.extend(ids.len());
            Ok(Self::logits(want))
        }
        fn fold(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
            let fold = self.config.fold.as_ref().expect("it folds");
            let slots: Vec<usize> = pages.iter().map(|page| Patches::new(page, fold).slots).collect();
            for &n in &slots {
                self.context.fold(n);
            }
            Ok(Folded {
                slots,
                logits: Self::logits(want),
                encode_s: 0.0,
                prefill_s: 0.0,
            })
        }
        fn keep_open(&mut self) {
            self.context.keep_open();
        }
        fn drop_open(&mut self) {
            self.context.drop_open();
        }
        fn evict(&mut self, n: usize) {
            self.context.evict(n);
        }
        fn kv_bytes_per_slot(&self) -> usize {
            1
        }
        fn weight_bytes(&self) -> usize {
            0
        }
        fn device(&self) -> String {
            "stand-in".to_owned()
        }
    }
}
