//! The trainer with all its features, which nothing else is built with: they change what the dependencies are built with, too.
//!
//! Profile `quick` builds all that anew in the least time; the tests that run so are small.

use crate::test::counted;
use crate::test_counts::TestCounts;
use crate::{drivers, process, tools};
use anyhow::Result;
use std::process::{Command, Stdio};

/// Builds `folio-train` with every feature that can be built here, and runs the tests that need them.
///
/// # Errors
/// Something does not build; a test fails.
pub(crate) fn run(counts: &mut TestCounts) -> Result<()> {
    // CUDA's libraries are loaded when the program runs, so they need not be here.
    let mut features = vec!["cuda", "wgpu", "parquet"];
    let mut suites = vec!["--bins"];
    if tools::mpi() {
        features.push("mpi");
        suites.extend(["--test", "mpi"]);
    } else {
        eprintln!("note: no MPI here, FOLIO_ALLOW_NO_MPI=1: the trainer's feature mpi is neither built nor tested");
    }
    if drivers::LAVAPIPE.find().is_some() || !drivers::allowed_without() {
        suites.extend(["--test", "device"]);
    }
    let features = features.join(",");
    eprintln!("the trainer with {features}:");
    let whole = counted(cargo_test(&features).args(suites), counts);
    let parts = counted(
        cargo_test(&features).args(["--lib", "--", "parquet", "device", "team"]),
        counts,
    );
    whole.and(parts)
}

fn cargo_test(features: &str) -> Command {
    let mut command = process::cargo(&["test", "--profile", "quick", "--no-fail-fast", "-p", "folio-trainer"]);
    command.args(["--features", features]).stdin(Stdio::null());
    // burn tries every kernel that could do a thing, which takes minutes on a GPU in software.
    command.env("CUBECL_AUTOTUNE_LEVEL", "minimal");
    // Vulkan's loader wants the folder, wherever it is.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command
}
