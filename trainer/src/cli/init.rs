//! `folio-train init`.

use super::DtypeArg;
use anyhow::{Context, bail};
use folio_engine::checkpoint::tensors;
use folio_engine::config::{Config, PRESETS, preset};
use folio_trainer::init_from::{Account, Donors};
use folio_trainer::model_folder::{TokenizerFiles, init};
use std::path::PathBuf;

/// Arguments of `folio-train init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  folio-train init --preset folio-nano --tokenizer runs/tokenizer --out runs/start
  folio-train init --preset vist2-0.6b --init-from Qwen3-0.6B --init-vision-from siglip2-large-patch16-256 --out runs/start")]
pub(super) struct Args {
    /// The model's shape.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PRESETS), required_unless_present = "config")]
    preset: Option<String>,
    /// The model's shape, as a config.json instead of a preset.
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,
    /// Take the language model's shape, weights and tokenizer from this Hugging Face folder (Qwen3, Qwen2, Llama,
    /// SmolLM2) or Folio folder.
    #[arg(long, value_name = "DIR")]
    init_from: Option<PathBuf>,
    /// Take the vision encoder's weights from this SigLIP or SigLIP2 (fixed resolution) folder or Folio folder; its
    /// shape must be the preset's.
    #[arg(long, value_name = "DIR")]
    init_vision_from: Option<PathBuf>,
    /// Seed: the same seed gives the same weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model folder to make; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A tokenizer.json, or a folder with one. Without it: the language model's, or every byte is a token.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Storage type of the weights.
    #[arg(long, value_enum, default_value_t = DtypeArg::F32)]
    dtype: DtypeArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (shape, name) = shape(args)?;
    let donors = Donors::open(args.init_from.as_deref(), args.init_vision_from.as_deref())?;
    let config = donors.shape(shape);
    if config.fold.is_none() {
        bail!("{name}: is text-only: choose a shape with vision_config");
    }
    config.validate(&name)?;
    let tokenizer = match args.tokenizer.as_ref().or(args.init_from.as_ref()) {
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
        &donors,
        &mut |_| bar.inc(1),
    );
    bar.finish_and_clear();
    done?;
    eprintln!("{}: {}", args.out.display(), describe(&donors.account(&config), &name));
    Ok(())
}

fn shape(args: &Args) -> anyhow::Result<(Config, String)> {
    if let Some(path) = &args.config {
        let json = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.display().to_string();
        return Ok((Config::from_json(&json, &name)?, name));
    }
    let name = args.preset.clone().unwrap_or_default();
    Ok((preset(&name).context("unknown preset")?, name))
}

/// One line on where the tensors came from.
fn describe(account: &Account, name: &str) -> String {
    let Account {
        language,
        vision,
        fresh,
        unused,
    } = account;
    if language + vision == 0 {
        return format!("a random {name}");
    }
    let few = |names: &[String]| match names {
        [] => String::new(),
        [first, ..] if names.len() > 4 => format!(" ({first}, …)"),
        _ => format!(" ({})", names.join(", ")),
    };
    format!(
        "{language} tensors of the language model, {vision} of the vision encoder, {} fresh{}; left out: {}{}",
        fresh.len(),
        few(fresh),
        unused.len(),
        few(unused)
    )
}
