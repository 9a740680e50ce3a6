//! `folio-train plot`.

use folio_trainer::files::write_whole;
use folio_trainer::plot::{Run, draw};
use std::path::PathBuf;

/// Arguments of `folio-train plot`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run folders (or metrics.jsonl files), drawn over each other.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The SVG file. Default: curves.svg in the first run's folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let runs: Vec<Run> = args.runs.iter().map(|dir| Run::open(dir)).collect::<Result<_, _>>()?;
    let svg = draw(&runs)?;
    let first = &args.runs[0];
    let beside = || first.parent().unwrap_or(first).to_owned();
    let folder = || if first.is_dir() { first.clone() } else { beside() };
    let out = args.out.clone().unwrap_or_else(|| folder().join("curves.svg"));
    write_whole(&out, svg.as_bytes())?;
    eprintln!("{}", out.display());
    Ok(())
}
