//! `folio score`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use folio_engine::session::{ScoreMode, score};

use crate::files::{PageFolder, read_text};
use crate::model::{Model, ModelArgs, Wish, check_device};
use crate::{failure::usage, output, progress};

/// Measure how well the model predicts a text.
///
/// JSON on stdout: tokens, nll_per_token (nats), perplexity, chunks (tokens of each closed chunk), and with --per-token
/// token_nll, one number per token. Every --context divides the text into the same chunks, so the numbers compare token
/// by token. A model is only fairly judged in a mode that it was trained in.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio score --file chapter.txt
  folio score --file chapter.txt --context none --per-token > none.json")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to score (UTF-8; `-` is stdin).
    #[arg(
        long,
        value_name = "F",
        required_unless_present = "tokens",
        conflicts_with = "tokens"
    )]
    file: Option<PathBuf>,
    /// Token ids to score: a JSON array. No BOS is added when the first is BOS.
    #[arg(long, value_name = "IDS.json")]
    tokens: Option<PathBuf>,
    /// What finished chunks leave behind.
    #[arg(long, value_enum, default_value = "folded")]
    context: Mode,
    /// Also give the negative log-likelihood of every token.
    #[arg(long)]
    per_token: bool,
    /// Write every folded page as page_00000.png, …
    #[arg(long, value_name = "DIR")]
    pages: Option<PathBuf>,
}

/// `--context`.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum Mode {
    /// Pages.
    Folded,
    /// All text.
    Full,
    /// As many of the last text slots as folding would hold.
    Window,
    /// Nothing: BOS and the open chunk only.
    None,
    /// Nothing but what the model reads again after a fold, if it does (`reread_tokens`), and the open chunk.
    Reread,
}

#[derive(serde::Serialize)]
struct Report {
    tokens: usize,
    nll_per_token: f64,
    perplexity: f64,
    chunks: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_nll: Option<Vec<f64>>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    check_device(args.model.device)?;
    let model = Model::open(&args.model)?;
    let ids = match (&args.file, &args.tokens) {
        (Some(path), _) => model.tokenizer.encode(&read_text(path)?)?,
        (None, Some(path)) => {
            let json = read_text(path)?;
            serde_json::from_str(&json).with_context(|| format!("{}: not a JSON array of token ids", path.display()))?
        }
        (None, None) => return Err(usage("give --file F or --tokens IDS.json")),
    };
    let mode = match args.context {
        Mode::Folded => ScoreMode::Folded,
        Mode::Full => ScoreMode::Full,
        Mode::Window => ScoreMode::Window,
        Mode::None => ScoreMode::None,
        Mode::Reread => ScoreMode::Reread,
    };
    let pages = args.pages.as_deref().map(PageFolder::create).transpose()?;
    let mut runner = model.runner(&args.model, Wish::default())?;
    let bar = progress::bar("scoring", ids.len() as u64, args.model.quiet);
    let mut failed = None;
    let scored = score(
        runner.as_mut(),
        &model.tokenizer,
        model.fonts.clone(),
        &ids,
        mode,
        &mut |index, page| {
            if let (Some(pages), None) = (&pages, &failed) {
                failed = pages.write(index, page).err();
            }
            Ok(())
        },
        &mut |done| bar.set_position(done as u64),
    )?;
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }
    let nll = scored
        .nll_per_token()
        .context("nothing to score: the text has no tokens")?;
    output::print(&output::pretty(&Report {
        tokens: scored.token_nll.len(),
        nll_per_token: nll,
        perplexity: nll.exp(),
        chunks: scored.chunks,
        token_nll: args.per_token.then_some(scored.token_nll),
    })?)?;
    Ok(ExitCode::SUCCESS)
}
