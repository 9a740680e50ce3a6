//! `folio-train export`.

use super::DtypeArg;
use folio_trainer::export::{Which, export};
use std::path::PathBuf;

/// Arguments of `folio-train export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder.
    run: PathBuf,
    /// The model folder to make; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Storage type of the weights.
    #[arg(long, value_enum, default_value_t = DtypeArg::F16)]
    dtype: DtypeArg,
    /// The checkpoint that was best by validation, instead of the newest.
    #[arg(long, conflicts_with = "step")]
    best: bool,
    /// The checkpoint of this step, instead of the newest.
    #[arg(long)]
    step: Option<u64>,
    /// Write the mean of these weights and those of DIR, another checkpoint of the same model; may be given several times.
    #[arg(long = "average", value_name = "DIR")]
    average: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let which = match args.step {
        Some(step) => Which::Step(step),
        None if args.best => Which::Best,
        None => Which::Latest,
    };
    let from = export(&args.run, which, &args.average, &args.out, args.dtype.into())?;
    eprintln!("{} from {}", args.out.display(), from.display());
    Ok(())
}
