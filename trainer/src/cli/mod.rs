//! The command line. Only this part of the trainer prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod tokenizer;

use clap::{Parser, Subcommand};
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
}

/// Runs the command; exit code 0 done, 1 failure, 2 wrong usage.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Tokenizer(args) => tokenizer::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
