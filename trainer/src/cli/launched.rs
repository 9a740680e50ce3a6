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

/// What to say before a run with checkpoints of `bytes`, if the launcher will not wait for one when a process is gone.
pub(super) fn short_grace(bytes: u64) -> Option<String> {
    grace(bytes, &|name| std::env::var(name).ok())
}

/// Bytes of a checkpoint that are surely written in a second.
const BYTES_PER_SECOND: u64 = 100_000_000;

/// Open MPI's `mpirun` ends all processes when one is gone: by SIGTERM, which is heeded, and so much later by SIGKILL.
fn grace(bytes: u64, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    variable("OMPI_COMM_WORLD_SIZE")?;
    let seconds = variable("OMPI_MCA_odls_base_sigkill_timeout").map_or(Some(1), |text| text.parse::<u64>().ok())?;
    let need = bytes.div_ceil(BYTES_PER_SECOND);
    (seconds < need).then(|| {
        format!(
            "note: when a process is gone, mpirun ends the others {seconds} s later, in the middle of a checkpoint of {} MB: \
             start it with --mca odls_base_sigkill_timeout {}",
            bytes / 1_000_000,
            need.max(60)
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_does_not_wait_long_enough_is_noted() {
        let said = |bytes, timeout: Option<&str>| {
            let timeout = timeout.map(str::to_owned);
            grace(bytes, &|name| match name {
                "OMPI_COMM_WORLD_SIZE" => Some("2".to_owned()),
                "OMPI_MCA_odls_base_sigkill_timeout" => timeout.clone(),
                _ => None,
            })
        };
        assert_eq!(said(50_000_000, None), None);
        let note = said(7_000_000_000, None).unwrap_or_default();
        assert!(
            note.contains("7000 MB") && note.contains("odls_base_sigkill_timeout 70"),
            "{note}"
        );
        assert_eq!(said(7_000_000_000, Some("120")), None);
        assert!(said(7_000_000_000, Some("10")).is_some());
        assert_eq!(grace(7_000_000_000, &|_| None), None, "no mpirun, no note");
    }
}
