//! `folio bench`.

mod counts;
mod headline;

use std::process::ExitCode;

use crate::failure::usage;
use crate::model::ModelArgs;

/// Measure a model: what it does on a device, and what folding saves.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  folio bench --counts --device gpu
  folio bench headline --preset vist2-0.6b --plan-only
  folio bench headline --preset smollm2-135m-folded --prompt 2000,6000 --out report")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Launches, submissions and bytes read back per decoded token, and the bytes of KV, against what is expected.
    #[arg(long)]
    counts: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Headline(Box<headline::Args>),
    #[command(hide = true)]
    Measure(headline::Measurement),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        Some(What::Headline(args)) => headline::run(args)?,
        Some(What::Measure(one)) => one.run()?,
        None if args.counts => counts::run(&args.model, args.json)?,
        None => return Err(usage("nothing to measure: give --counts, or the subcommand headline")),
    }
    Ok(ExitCode::SUCCESS)
}
