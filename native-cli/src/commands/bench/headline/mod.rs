//! `folio bench headline`: the paper's efficiency figures on any shape, planned and measured.

mod child;
mod claims;
mod planned;
mod plots;
mod report;

use std::path::PathBuf;

use anyhow::{Context, bail};
use folio_benches::checkpoint;
use folio_engine::config::{Config, PRESETS, preset};

pub(crate) use self::child::Measurement;
use self::planned::Planned;
use self::report::Report;
use crate::failure::usage;
use crate::model::{self, Device};
use crate::output;

/// Full context against folded: time to the first token, memory, operations, speed while writing.
///
/// Works on any checkpoint or preset; speed and memory do not depend on what the weights say, so a preset is measured
/// with random ones. Every run is a process of its own, folded and full in turns; figures are medians of the rounds.
/// Plans (operations, KV bytes) come from the same formulas as `folio inspect`; the operations that the CPU runner counts
/// while it computes stand beside them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio bench headline --preset vist2-8b --plan-only
  folio bench headline --preset smollm2-135m-folded --prompt 1500,3000,6000 --rounds 3 --out report")]
pub(crate) struct Args {
    /// Shape with random weights.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PRESETS), conflicts_with = "model")]
    preset: Option<String>,
    /// Model folder; without it (and without --preset) $FOLIO_MODEL or the bundled folio-nano.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "auto")]
    device: Device,
    /// Lengths of the prompt, in tokens.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1024,4096,8192")]
    prompt: Vec<usize>,
    /// Tokens decoded after each prompt.
    #[arg(long, value_name = "N", default_value_t = 64)]
    decode: usize,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// Length of the answer whose operations are planned, after the longest prompt.
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    answer: usize,
    /// Only what the formulas say: no weights, no runs.
    #[arg(long)]
    plan_only: bool,
    /// JSON instead of tables on stdout.
    #[arg(long)]
    json: bool,
    /// Folder for headline.json, headline.md and the plots (SVG).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder that keeps random checkpoints for the next time; a temporary one without it.
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if args.prompt.is_empty() || args.prompt.contains(&0) || args.rounds == 0 || args.decode == 0 {
        return Err(usage("--prompt, --decode and --rounds must be 1 or more"));
    }
    let mut prompts = args.prompt.clone();
    prompts.sort_unstable();
    prompts.dedup();
    let (name, config, dir) = shape(args)?;
    if config.fold.is_none() {
        bail!("{name} is a text-only model: there is nothing to fold. Measure a preset or a folio model");
    }
    let longest = prompts.last().copied().unwrap_or(0);
    let limit = config.text.max_position_embeddings;
    if !args.plan_only && longest + args.decode + 1 > limit {
        return Err(usage(format!("--prompt {longest}: the model holds {limit} slots")));
    }
    let mut report = Report::new(&name, args);
    for (name, config) in beside(&name, &config) {
        report.planned.push(Planned::new(&name, &config, &prompts, args.answer));
    }
    if !args.plan_only {
        let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
        let dir = match dir {
            Some(dir) => dir,
            None => checkpoint::ensure(args.work_dir.as_deref().unwrap_or(temporary.path()), &name)?,
        };
        report.runs = child::measure(&dir, args, &prompts)?;
    }
    report.judge();
    if let Some(out) = &args.out {
        report.write(out)?;
        plots::write(&report, out)?;
    }
    output::print(&if args.json {
        output::pretty(&report)?
    } else {
        report.text()
    })
}

/// Name, configuration and, unless it is a preset, the folder of what is measured.
fn shape(args: &Args) -> anyhow::Result<(String, Config, Option<PathBuf>)> {
    if let Some(name) = &args.preset {
        let config = preset(name).context("unknown preset")?;
        return Ok((name.clone(), config, None));
    }
    let dir = model::find(args.model.as_deref())?;
    let config = Config::load(&dir)?;
    let name = dir
        .file_name()
        .map_or_else(|| dir.display().to_string(), |n| n.to_string_lossy().into_owned());
    Ok((name, config, Some(dir)))
}

/// The shape, and for the paper's presets the same decoder with our text encoder.
fn beside(name: &str, config: &Config) -> Vec<(String, Config)> {
    let own = (name.to_owned(), config.clone());
    let ours = format!("{name}-strips");
    match preset(&ours) {
        Some(config) => vec![own, (ours, config)],
        None => vec![own],
    }
}
