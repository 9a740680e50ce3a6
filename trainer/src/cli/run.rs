//! `folio-train run`.

use super::progress::{Progress, bar};
use anyhow::Context;
use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_trainer::run::{Outcome, train};
use folio_trainer::setup::{Preparing, prepare};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `folio-train run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The recipe (TOML).
    recipe: PathBuf,
    /// Continue the run from its newest checkpoint: data order, optimiser, schedule and all.
    #[arg(long)]
    resume: bool,
    /// The run's folder, instead of the recipe's `out`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = stop_on_interrupt()?;
    let tokenising = bar(0, "bytes of text tokenised");
    let prepared = prepare(&args.recipe, args.out.as_deref(), args.resume, &|event| match event {
        Preparing::Note(text) => tokenising.suspend(|| eprintln!("{text}")),
        Preparing::Tokenised(bytes) => tokenising.inc(bytes),
    });
    tokenising.finish_and_clear();
    let setup = prepared?;
    let (steps, first, root) = (setup.plan.steps(), setup.state.step, setup.run.root().to_owned());
    eprintln!(
        "{}: {steps} steps on {}",
        root.display(),
        setup
            .train
            .0
            .iter()
            .map(|set| set.describe())
            .collect::<Vec<_>>()
            .join(", ")
    );
    let mut progress = Progress::new(steps, first);
    let outcome = train::<Autodiff<Flex>>(setup, &Default::default(), &stop, &mut progress);
    progress.finish();
    match outcome? {
        Outcome::Finished => eprintln!("done: export it with `folio-train export {} --out DIR`", root.display()),
        Outcome::Stopped => eprintln!("stopped: go on with --resume"),
    }
    Ok(())
}

/// A flag that the first Ctrl-C sets; the second ends the process at once.
pub(super) fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping soon; press again to stop at once");
    })
    .context("cannot handle Ctrl-C")?;
    Ok(stop)
}
