//! `folio-train`: trains tokenizers and models that fold.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
