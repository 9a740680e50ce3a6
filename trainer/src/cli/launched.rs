//! Whether this process is one of several that `mpirun` or `srun` started.

use folio_trainer::team::{Alone, Team};

/// Variables in which launchers tell the number of processes.
const SIZES: [&str; 4] = [
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_STEP_NUM_TASKS",
];

/// Processes that were started together, as the launcher tells; 1 without one.
fn processes() -> usize {
    let number = |name: &&str| std::env::var(name).ok()?.parse().ok();
    SIZES.iter().filter_map(number).max().unwrap_or(1)
}

/// Runs `work` as one process of those that were started together.
#[cfg(feature = "mpi")]
pub(super) fn with_team(work: impl Fn(&dyn Team) -> anyhow::Result<()>) -> anyhow::Result<()> {
    use folio_trainer::team::Mpi;

    if processes() == 1 {
        return work(&Alone);
    }
    let Some(team) = Mpi::enter()? else {
        return work(&Alone);
    };
    match work(&team) {
        Ok(()) => {
            team.finish();
            Ok(())
        }
        Err(error) => {
            let lost = matches!(error.downcast_ref(), Some(folio_trainer::Error::ProcessLost(_)));
            // All processes lose the one that is gone; one of them says so.
            if !lost || team.tells() {
                eprintln!("error: {error:#}");
            }
            // MPI is not ended: it would wait for the others for ever.
            std::process::exit(1);
        }
    }
}

/// Runs `work`; refuses to if there are others, who would all write the same files.
#[cfg(not(feature = "mpi"))]
pub(super) fn with_team(work: impl Fn(&dyn Team) -> anyhow::Result<()>) -> anyhow::Result<()> {
    match processes() {
        1 => work(&Alone),
        n => anyhow::bail!(
            "{n} processes were started, but this folio-train was built without mpi: \
             cargo build --release -p folio-trainer --features mpi"
        ),
    }
}
