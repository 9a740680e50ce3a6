//! `folio-train run`.

use super::launched;
use super::progress::{Progress, bar};
use anyhow::Context;
use folio_engine::cost::parameters;
use folio_trainer::device::{Device, train_on};
use folio_trainer::metrics::{EvalLine, TrainLine};
use folio_trainer::run::{Outcome, Reporter};
use folio_trainer::setup::{Preparing, prepare_for};
use folio_trainer::team::Team;
use std::path::{Path, PathBuf};
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
    /// Where to compute: cpu, cuda, cuda:N or wgpu; all but cpu must have been built in (cargo features).
    #[arg(long, default_value_t)]
    device: Device,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    args.device.check_built()?;
    launched::with_team(|team| run_with(args, team))
}

fn run_with(args: &Args, team: &dyn Team) -> anyhow::Result<()> {
    let writes = team.writes();
    let stop = stop_on_interrupt(writes)?;
    let tokenising = bar(0, "bytes of text tokenised");
    let writes = team.writes();
    let prepared = prepare_for(
        &args.recipe,
        args.out.as_deref(),
        args.resume,
        team,
        &|event| match event {
            Preparing::Note(text) if writes => tokenising.suspend(|| eprintln!("{text}")),
            Preparing::Note(_) => {}
            Preparing::Tokenised(bytes) => tokenising.inc(bytes),
        },
    );
    tokenising.finish_and_clear();
    let setup = prepared?;
    let (steps, first, root) = (setup.plan.steps(), setup.state.step, setup.run.root().to_owned());
    if !writes {
        train_on(args.device, setup, team, &stop, &mut Silent)?;
        return Ok(());
    }
    let sets: Vec<String> = setup.train.0.iter().map(|set| set.describe()).collect();
    let processes = match team.size() {
        1 => String::new(),
        n => format!(", {n} processes"),
    };
    eprintln!("{}: {steps} steps on {}{processes}", root.display(), sets.join(", "));
    // Weights and two moments of each, in f32.
    let checkpoint = 3 * parameters(&setup.config).bytes(4);
    if let Some(note) = launched::short_grace(checkpoint).filter(|_| team.size() > 1) {
        eprintln!("{note}");
    }
    let mut progress = Progress::new(steps, first);
    let outcome = train_on(args.device, setup, team, &stop, &mut progress);
    progress.finish();
    match outcome? {
        Outcome::Finished => eprintln!("done: export it with `folio-train export {} --out DIR`", root.display()),
        Outcome::Stopped => eprintln!("stopped: go on with --resume"),
    }
    Ok(())
}

/// A process that reports nothing: process 0 does.
struct Silent;

impl Reporter for Silent {
    fn step(&mut self, _done: u64, _line: &TrainLine) {}
    fn logged(&mut self, _line: &TrainLine) {}
    fn evaluated(&mut self, _line: &EvalLine) {}
    fn saved(&mut self, _checkpoint: &Path) {}
}

/// A flag that the first Ctrl-C sets; the second ends the process at once.
pub(super) fn stop_on_interrupt(tells: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if tells {
            eprintln!("stopping soon; press again to stop at once");
        }
    })
    .context("cannot handle Ctrl-C")?;
    Ok(stop)
}
