//! The command line. Only this part of the trainer prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod allocator;
mod eval;
mod export;
mod init;
mod launched;
mod plot;
mod progress;
mod run;
mod tokenizer;

use clap::{Parser, Subcommand, ValueEnum};
use folio_engine::checkpoint::Dtype;
use std::process::ExitCode;

/// Trains Folio's models.
#[derive(Debug, Parser)]
#[command(name = "folio-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a byte-level BPE tokenizer on text files.
    Tokenizer(tokenizer::Args),
    /// Make a model folder: with random weights, or with those of other models (--init-from).
    Init(init::Args),
    /// Train by a recipe.
    Run(run::Args),
    /// Measure a trained model, and its controls beside it.
    Eval(eval::Args),
    /// Draw the curves of runs as an SVG.
    Plot(plot::Args),
    /// Make a model folder from a run's checkpoint.
    Export(export::Args),
}

/// Storage type of weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DtypeArg {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// bfloat16.
    Bf16,
}

impl From<DtypeArg> for Dtype {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F32 => Self::F32,
            DtypeArg::F16 => Self::F16,
            DtypeArg::Bf16 => Self::Bf16,
        }
    }
}

/// Runs the command; exit code 0 done, 1 failure, 2 wrong usage (clap's).
pub(crate) fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let done = match Cli::parse().command {
        Command::Tokenizer(args) => tokenizer::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Export(args) => export::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", said_once(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes in one line. An error of the library that names its cause itself is not followed by it.
fn said_once(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |said, cause| match said.as_str() {
            "" => cause,
            before if before.ends_with(&cause) => said,
            _ => format!("{said}: {cause}"),
        })
}
