//! `folio-train eval`.

use super::run::stop_on_interrupt;
use anyhow::Context;
use folio_trainer::data::sources;
use folio_trainer::files::write_whole;
use folio_trainer::quality::{ControlName, Options, Watch, evaluate, markdown};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Arguments of `folio-train eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  folio-train eval runs/nano --data books-valid.jsonl.zst --controls runs/full=full --controls runs/none=none --out report")]
pub(super) struct Args {
    /// A model folder, or a run's folder (its newest checkpoint).
    model: PathBuf,
    /// Held-out data files or folders: .jsonl (`text` of each line) or .txt, plain, .gz or .zst; .parquet (column `text`) where
    /// it is built in (feature `parquet`).
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    data: Vec<PathBuf>,
    /// A trained control (model or run folder) and what it is: full, window, none, mean_pool, conv_pyramid,
    /// shuffled_pages (each is then measured in its own memory), or any other name for a model that folds. A label of your own
    /// may follow: full:LABEL, vision:LABEL. Repeatable.
    #[arg(long, value_name = "DIR=NAME", value_parser = control)]
    controls: Vec<(PathBuf, ControlName)>,
    /// Folder for eval.json and eval.md.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Documents to score and to continue.
    #[arg(long, default_value_t = Options::default().documents)]
    documents: usize,
    /// Tokens of each document: at least two chunks of the model.
    #[arg(long, default_value_t = Options::default().tokens, value_parser = one_or_more)]
    tokens: usize,
    /// Stretches of each document to score, spread over it (fewer of a short document); errors are of documents.
    #[arg(long, default_value_t = Options::default().stretches, value_parser = one_or_more)]
    stretches: usize,
    /// Pages to read back of each size and kind; 0: none.
    #[arg(long, default_value_t = Options::default().pages)]
    pages: usize,
    /// Keys and copies to ask for at each number of folds; 0: none.
    #[arg(long, default_value_t = Options::default().probes)]
    probes: usize,
    /// Most folds before a key or a copy is asked for.
    #[arg(long, default_value_t = Options::default().folds)]
    folds: usize,
    /// Also ask for keys with N pages read again as text before the answer, as `folio generate --unfold N` does.
    #[arg(long, value_name = "N", default_value_t = Options::default().unfold)]
    unfold: usize,
    /// Seed of places, strings and keys.
    #[arg(long, default_value_t = Options::default().seed)]
    seed: u64,
}

fn one_or_more(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("is no number ({e})")),
    }
}

fn control(text: &str) -> Result<(PathBuf, ControlName), String> {
    match text.rsplit_once('=') {
        Some((dir, name)) if !dir.is_empty() && !name.is_empty() => {
            Ok((dir.into(), ControlName::new(name).map_err(|e| e.to_string())?))
        }
        _ => Err("must be DIR=NAME".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_on_interrupt(true)?;
    // `visual_sees_text` is what the recipe of a control that folds is called by.
    let free = |name: &ControlName| name.memory().is_none() && name.to_string() != "visual_sees_text";
    for (dir, name) in args.controls.iter().filter(|(_, name)| free(name)) {
        eprintln!(
            "note: {name} is no memory: {} is measured as a model that folds (vision:{name} says so without this note)",
            dir.display()
        );
    }
    let options = Options {
        documents: args.documents,
        tokens: args.tokens,
        stretches: args.stretches,
        pages: args.pages,
        probes: args.probes,
        folds: args.folds,
        unfold: args.unfold,
        seed: args.seed,
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let data = sources(&args.data)?;
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}  {elapsed} elapsed") {
        bar.set_style(style);
    }
    let watch = Watch {
        tell: &|what, done, total| {
            if bar.is_hidden() && done == 0 {
                eprintln!("{what}");
            }
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(what.to_owned());
        },
        stop: &stop,
    };
    let done = evaluate(&args.model, &args.controls, &data, &options, &watch);
    bar.finish_and_clear();
    let report = done?;
    let json = serde_json::to_string_pretty(&report)? + "\n";
    write_whole(&args.out.join("eval.json"), json.as_bytes())?;
    write_whole(&args.out.join("eval.md"), markdown(&report).as_bytes())?;
    eprintln!("{} and eval.json", args.out.join("eval.md").display());
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_is_refused_at_once() {
        assert_eq!(one_or_more("768"), Ok(768));
        assert!(one_or_more("0").unwrap_err().contains("1 or more"));
        assert!(one_or_more("many").is_err());
        let (dir, name) = control("runs/a=b=full").unwrap();
        assert_eq!((dir, name.to_string()), (PathBuf::from("runs/a=b"), "full".to_owned()));
        assert!(control("runs/a=ful").unwrap_err().contains("is full meant"));
        assert!(control("runs/a").is_err() && control("=full").is_err());
    }
}
