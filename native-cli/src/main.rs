//! `folio`: reads and writes long text in a small context. One file per command; see `folio --help`.

// A command line tool: stdout and stderr are what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod commands;
mod failure;
mod files;
mod interrupt;
mod listener;
mod model;
mod output;
mod progress;
mod sampling;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Reads and writes long text in a small context: finished text is drawn as pages that the model looks at.
///
/// Text goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong usage, 130 ended by Ctrl-C
/// (text, statistics and session are written all the same).
#[derive(Parser)]
#[command(name = "folio", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  folio generate --prompt \"It was a dark night\" --max-new-tokens 500
  folio score --file book.txt --context folded
  folio inspect --tokens 32000

Without --model the bundled folio-nano is used. $FOLIO_MODEL names another default.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Generate(Box<commands::generate::Args>),
    Chat(commands::chat::Args),
    Score(commands::score::Args),
    Inspect(commands::inspect::Args),
    Render(commands::render::Args),
    Devices(commands::devices::Args),
    Bench(commands::bench::Args),
    Convert(commands::convert::Args),
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map(|l| format!(" at {}:{}", l.file(), l.line()))
            .unwrap_or_default();
        let what = info.payload().downcast_ref::<&str>().map(|s| (*s).to_owned());
        let what = what
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let line = what.lines().next().unwrap_or_default();
        eprintln!("error: internal error{place}: {line} (this is a bug in folio: please report it)");
    }));
    quiet_drivers();
    // A panic anywhere has printed its line; what is left is the exit code.
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(failure::FAILED))
}

/// Mesa's Vulkan drivers look for a Wayland display, and libwayland writes an error of its own to stderr where
/// XDG_RUNTIME_DIR is not set, as on most servers. Nothing here needs a display.
fn quiet_drivers() {
    if cfg!(all(feature = "gpu", target_os = "linux")) && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program has only one thread yet.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Generate(args) => commands::generate::run(&args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Score(args) => commands::score::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Render(args) => commands::render::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Convert(args) => commands::convert::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
