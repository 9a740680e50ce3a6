//! `folio generate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;
use folio_engine::config::Config;
use folio_engine::cost::{Load, Slots, plan};
use folio_engine::runner::KernelTime;
use folio_engine::session::{ContextMode, FinishReason, PartKind, SavedSession, Session, Settings};

use crate::failure::{INTERRUPTED, usage};
use crate::files::{PageFolder, Pending, read_text};
use crate::listener::{Listener, summary};
use crate::model::{Model, ModelArgs, Wish, check_device};
use crate::sampling::{SamplingArgs, defaults};
use crate::{interrupt, output};

/// Continue a text, folding finished chunks into pages.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio generate --prompt \"It was a dark night\" --max-new-tokens 500 --temperature 0.8
  cat story.txt | folio generate - --stats run.json --pages pages/
  folio generate --prompt-file story.txt --save-session s.json
  folio generate --resume-session s.json --max-new-tokens 1000

Sampling that is not given comes from the session file, then from the model's
generation_config.json (greedy without one). Ctrl-C ends the text; statistics and session are
written, and the exit code is 130.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// `-`: read the prompt from stdin.
    #[arg(value_name = "-", value_parser = ["-"], group = "source")]
    stdin: Option<String>,
    /// The text to continue; may be empty.
    #[arg(long, value_name = "TEXT", group = "source", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// File with the text to continue (UTF-8; `-` is stdin).
    #[arg(long, value_name = "F", group = "source")]
    prompt_file: Option<PathBuf>,
    /// Most tokens to write; 0 only reads the prompt.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 256)]
    max_new_tokens: usize,
    /// Fold finished text, or keep everything as text [default: folded; a resumed session keeps its own].
    #[arg(long, value_enum)]
    context: Option<Mode>,
    /// Read the N pages that have most in common with what was written last again as text, for each chunk that is written: a
    /// model that has learnt to copy can then repeat names and numbers, for some memory and time (see --stats); 0 is off [default: 0; a resumed
    /// session keeps its own].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    unfold: Option<usize>,
    #[command(flatten, next_help_heading = "Sampling")]
    sampling: SamplingArgs,
    /// Time every kernel of the GPU and print a table at the end (slower: each kernel gets a pass of its own).
    #[arg(long)]
    profile: bool,
    /// Write figures of the run as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    stats: Option<PathBuf>,
    /// Write every folded page as page_00000.png, …
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pages: Option<PathBuf>,
    /// Write the session at the end, to go on later.
    #[arg(long, value_name = "F", help_heading = "Files")]
    save_session: Option<PathBuf>,
    /// Go on with a saved session; a prompt is then appended to it.
    #[arg(long, value_name = "F", help_heading = "Files")]
    resume_session: Option<PathBuf>,
}

/// `--context`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Finished chunks become pages.
    Folded,
    /// Plain attention over all text.
    Full,
}

impl From<Mode> for ContextMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Folded => Self::Folded,
            Mode::Full => Self::Full,
        }
    }
}

/// Slots that a folded run is expected to need.
fn folded_slots(config: &Config, prompt_tokens: usize, generated_tokens: usize, unfold: usize) -> usize {
    let load = Load {
        prompt_tokens,
        // Nobody waits for more, and sums of more would not be numbers.
        generated_tokens: generated_tokens.min(1 << 40),
        tokens_per_page: None,
        weight_bytes: 4,
        kv_bytes: 4,
    };
    let again = config.fold.as_ref().map_or(0, |fold| {
        let pages = unfold.min(prompt_tokens.saturating_add(generated_tokens) / fold.chunk_tokens.max(1) + 1);
        Slots::new(fold, fold.chunk_tokens).unfolded(if unfold > 0 { pages } else { 0 })
    });
    let folded = plan(config, &load).folded.map_or(0, |side| side.peak_slots);
    folded.saturating_add(again)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.sampling.check()?;
    check_device(args.model.device)?;
    let prompt = match (&args.prompt, &args.prompt_file, &args.stdin) {
        (Some(text), ..) => Some(text.clone()),
        (_, Some(path), _) => Some(read_text(path)?),
        (.., Some(_)) => Some(read_text("-".as_ref())?),
        _ if args.resume_session.is_some() => None,
        _ => {
            return Err(usage(
                "no prompt: give --prompt TEXT, --prompt-file F, - for stdin, or --resume-session F",
            ));
        }
    };
    if args.stats.is_some() && args.stats == args.save_session {
        return Err(usage(
            "--stats and --save-session name the same file: give each its own",
        ));
    }
    // From here on temporary files exist, which a Ctrl-C must not leave behind.
    interrupt::watch()?;
    let stats_file = args.stats.as_deref().map(Pending::open).transpose()?;
    let session_file = args.save_session.as_deref().map(Pending::open).transpose()?;
    let model = Model::open(&args.model)?;
    let wants_prints = args.save_session.is_some() || args.resume_session.is_some();
    let prints = if wants_prints {
        model.fingerprints()?
    } else {
        Default::default()
    };
    let saved = match &args.resume_session {
        Some(path) => Some(SavedSession::read(path, &prints.0, &prints.1)?),
        None => None,
    };
    if let (Some(saved), Some(mode)) = (&saved, args.context)
        && saved.context() != ContextMode::from(mode)
    {
        return Err(usage(
            "--context: a resumed session keeps the context mode that it was made with",
        ));
    }
    let mode = args.context.map_or(ContextMode::Folded, ContextMode::from);
    let full = saved.as_ref().map_or(mode, SavedSession::context) == ContextMode::Full;
    if full && args.unfold.unwrap_or(0) > 0 {
        return Err(usage("--unfold: with --context full there are no pages to read again"));
    }
    let ids = prompt
        .as_deref()
        .map(|text| model.tokenizer.encode(text))
        .transpose()?
        .unwrap_or_default();
    let pages = args.pages.as_deref().map(PageFolder::create).transpose()?;
    if saved.is_none() && mode == ContextMode::Folded && model.config.fold.is_none() {
        bail!(
            "{}: a text-only model cannot fold: its vision side is not trained (folio-train stages `ocr` and `olm`); \
             use --context full",
            model.dir.display()
        );
    }
    let slots = match mode {
        _ if saved.is_some() => 0,
        ContextMode::Full => (1 + ids.len()).saturating_add(args.max_new_tokens),
        ContextMode::Folded => folded_slots(&model.config, ids.len(), args.max_new_tokens, args.unfold.unwrap_or(0)),
    };
    let wish = Wish {
        slots: slots.min(model.config.text.max_position_embeddings),
        profile: args.profile,
        ..Wish::default()
    };
    let runner = model.runner(&args.model, wish)?;
    let mut session = match saved {
        Some(saved) => {
            let mut settings = args.sampling.over(saved.settings(args.max_new_tokens))?;
            settings.unfold = args.unfold.unwrap_or(settings.unfold);
            saved.restore(runner, model.tokenizer.clone(), model.fonts.clone(), settings)?
        }
        None => {
            let sampling = defaults(&model.dir)?;
            let base = Settings {
                sampling,
                max_new_tokens: args.max_new_tokens,
                unfold: args.unfold.unwrap_or(0),
                ..Settings::default()
            };
            let settings = args.sampling.over(base)?;
            Session::new(runner, model.tokenizer.clone(), model.fonts.clone(), mode, settings)?
        }
    };
    let prompt_tokens = ids.len();
    session.push(PartKind::Prompt, ids)?;
    let mut ending = Listener::new(pages, args.model.quiet).listen(&mut session)?;
    ending.stats.model = model.name();
    if let Some(file) = stats_file {
        file.commit(output::pretty(&ending.stats)?.as_bytes())?;
    }
    if let Some(file) = session_file {
        file.commit(&session.save(&prints.0, &prints.1)?.to_json()?)?;
    }
    if !args.model.quiet {
        if ending.reason == FinishReason::ContextFull && session.unread_tokens() > 0 {
            eprintln!(
                "note: only {} of {prompt_tokens} tokens of the prompt were read: they fill the model's {} slots",
                prompt_tokens.saturating_sub(session.unread_tokens()),
                model.config.text.max_position_embeddings
            );
        }
        eprintln!("{}", summary(&ending.stats));
    }
    if args.profile {
        for time in session.runner().kernel_times() {
            let KernelTime {
                kernel,
                launches,
                seconds,
            } = time;
            eprintln!("{:>9.3} ms  {launches:>7} × {kernel}", seconds * 1e3);
        }
    }
    let interrupted = ending.reason == FinishReason::Cancelled && interrupt::asked();
    Ok(if interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}
