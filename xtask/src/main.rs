//! `cargo xtask`: the one entry to everything that a developer or CI does. One file per command.

// A command line tool: stdout and stderr are what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod browser;
mod ci;
mod drivers;
mod gpu_runs;
mod lint;
mod process;
mod smoke;
mod test;
mod test_counts;
mod tools;
mod trainer_features;
mod web;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Everything that a developer or CI does with Folio.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tests of the workspace and count them.
    Test(test::Args),
    /// Check formatting, clippy, and the sizes of files.
    Lint,
    /// Build the page for browsers into web-demo/dist, and serve it.
    Web(web::Args),
    /// Run the first command of README.md and check that it writes text.
    Smoke,
    /// What CI runs: lint, smoke, and test with the tools installed.
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Lint => lint::run(),
        Command::Web(args) => web::run(&args),
        Command::Smoke => smoke::run(),
        Command::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
