//! `folio-train init`.

use super::DtypeArg;
use anyhow::Context;
use folio_engine::checkpoint::tensors;
use folio_engine::config::{PRESETS, preset};
use folio_trainer::model_folder::{TokenizerFiles, init};
use std::path::PathBuf;

/// Arguments of `folio-train init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's shape.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PRESETS))]
    preset: String,
    /// Seed: the same seed gives the same weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model folder to make; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A tokenizer.json, or a folder with one. Without it: every byte is a token.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Storage type of the weights.
    #[arg(long, value_enum, default_value_t = DtypeArg::F32)]
    dtype: DtypeArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = preset(&args.preset).context("unknown preset")?;
    let tokenizer = match &args.tokenizer {
        Some(path) => TokenizerFiles::load(path)?,
        None => TokenizerFiles::byte_level(&config)?,
    };
    let count = tensors(&config).len() as u64;
    let bar = super::progress::bar(count, "tensors");
    let done = init(
        &args.out,
        &config,
        &tokenizer,
        args.seed,
        args.dtype.into(),
        &mut |_| bar.inc(1),
    );
    bar.finish_and_clear();
    done?;
    eprintln!("{}: a random {}", args.out.display(), args.preset);
    Ok(())
}
