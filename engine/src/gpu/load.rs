//! Opening a checkpoint on a GPU, and asking a GPU whether it computes rightly.

use super::{AdapterReport, Formula, GpuOptions, GpuRunner, Machine, WgpuMachine};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::session::self_test as known;
use crate::{Error, Result, Wait};
use std::path::Path;

/// Opens the checkpoint in `dir` on the best GPU, with room for `slots` slots at first.
///
/// The GPU first passes the known-answer test. `progress` hears what is being done, and the share that is done.
///
/// # Errors
/// No GPU, one that computes wrongly, a model that it cannot hold (with the numbers), damaged files.
pub fn load_gpu(
    dir: &Path,
    config: &Config,
    options: GpuOptions,
    slots: usize,
    progress: &mut dyn FnMut(&str, f32),
) -> Result<GpuRunner<WgpuMachine>> {
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let machine = WgpuMachine::open(options.clone()).wait()?;
    progress("testing the GPU", 0.0);
    let machine = tested(machine).wait()?;
    GpuRunner::new(machine, config, Box::new(checkpoint), slots, progress).wait()
}

/// Whether this computer has a GPU that is not a CPU in disguise.
pub fn has_gpu() -> bool {
    let adapters = WgpuMachine::adapters().wait();
    adapters
        .iter()
        .any(|adapter| !adapter.software && adapter.lacks.is_none())
}

/// Every adapter of this computer, and what the known-answer test says of it: the largest deviation, or the error.
pub fn adapters() -> Vec<(AdapterReport, Result<f32>)> {
    let list = WgpuMachine::adapters().wait();
    let test = |index| {
        let options = GpuOptions {
            allow_software: true,
            ..GpuOptions::default()
        };
        let machine = WgpuMachine::open_at(index, options).wait()?;
        self_test(machine).wait().map(|(_, worst)| worst)
    };
    list.into_iter()
        .enumerate()
        .map(|(i, report)| (report, test(i)))
        .collect()
}

/// Lets a machine compute the known answer; gives it back empty, with the largest deviation found.
///
/// # Errors
/// It computes wrongly, or not at all.
pub async fn self_test<M: Machine>(machine: M) -> Result<(M, f32)> {
    let config = known::config();
    let mut runner = GpuRunner::new(machine, &config, Box::new(Formula(known::weights)), 0, &mut |_, _| {}).await?;
    let worst = known::check(&mut runner).await?;
    Ok((runner.into_machine(), worst))
}

/// The machine, if it passes the known-answer test.
///
/// # Errors
/// It computes wrongly, or not at all.
pub async fn tested(machine: WgpuMachine) -> Result<WgpuMachine> {
    let name = machine.report().name.clone();
    self_test(machine)
        .await
        .map(|(machine, _)| machine)
        .map_err(|e| match e {
            Error::Invalid { what, .. } => Error::Gpu(format!("{name}: known-answer test {what}")),
            e => e,
        })
}
