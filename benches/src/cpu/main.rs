//! `folio-bench-cpu`: what folding saves on the CPU, measured on a model shape with random weights.
//!
//! Speed and memory do not depend on what the weights say, so no training is needed. Every measurement runs in a
//! child process of its own (its peak of memory is then its own), folded and full in turns.

// A command line tool: stdout and stderr are what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod child;
mod report;

use anyhow::{Context, Result};
use clap::Parser;
use folio_benches::checkpoint;
use folio_benches::prompt::Mode;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures folded against full context on the CPU. The table goes to stderr, JSON to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    child: Option<child::Measurement>,
}

/// What is measured.
#[derive(clap::Args, Clone)]
struct Settings {
    /// Model shape for the prompt (random weights).
    #[arg(long, default_value = "smollm2-135m-folded")]
    preset: String,
    /// Model shape for the cost of one step at few and at many slots.
    #[arg(long, default_value = "folio-nano")]
    step_preset: String,
    /// Tokens in the prompt.
    #[arg(long, default_value_t = 6000)]
    prompt_tokens: usize,
    /// Tokens written after the prompt with folding on: more than a chunk, so that a fold is in the time.
    #[arg(long, default_value_t = 320)]
    decode_tokens: usize,
    /// How often folded and full are measured, in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure only this.
    #[arg(long)]
    only: Option<Part>,
    /// Where the random checkpoints go (540 MB of them are read); a temporary folder without this.
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// First token, decoding speed, memory.
    Prompt,
    /// One step at few and at many slots.
    Steps,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.child {
        Some(measurement) => measurement.run(),
        None => headline(&cli.settings),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the checkpoints, runs the children, reports.
fn headline(settings: &Settings) -> Result<()> {
    anyhow::ensure!(settings.rounds > 0, "--rounds must be at least 1");
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let dir = settings.work_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut report = report::Report::new(settings);
    if settings.only != Some(Part::Steps) {
        let model = checkpoint::ensure(&dir, &settings.preset)?;
        for round in 1..=settings.rounds {
            for context in [Mode::Folded, Mode::Full] {
                eprintln!("round {round} of {}: {context:?} context", settings.rounds);
                report.prompt.push(child::prompt(&model, context, settings)?);
            }
        }
    }
    if settings.only != Some(Part::Prompt) {
        let model = checkpoint::ensure(&dir, &settings.step_preset)?;
        eprintln!("one step of {}", settings.step_preset);
        report.steps = Some(child::steps(&model, settings.rounds)?);
    }
    eprint!("\n{}", report.table());
    println!("{}", report.json()?);
    Ok(())
}
