//! `cargo xtask test`: every test of the workspace, counted.

use crate::gpu_runs::{self, GpuRuns};
use crate::test_counts::TestCounts;
use crate::{browser, drivers, process, tools, trainer_features};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// What to test.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Install missing programs that tests need (through apt-get).
    #[arg(long)]
    pub(crate) install: bool,
    /// Only the tests of burn on wgpu with our kernels. They need an adapter and a build of many minutes (burn's GPU
    /// backend), so the tests of the workspace, and CI, leave them out.
    #[arg(long)]
    pub(crate) burn_wgpu: bool,
    /// Only the tests of the page in a real browser.
    #[arg(long, conflicts_with_all = ["burn_wgpu", "rest"])]
    pub(crate) browser: bool,
    /// Only the tests of the trainer's features: `cuda` and `wgpu` (built; training on wgpu against the CPU), `mpi` (several
    /// processes), `parquet`.
    #[arg(long, conflicts_with_all = ["burn_wgpu", "browser", "rest"])]
    pub(crate) trainer_features: bool,
    /// Passed on to `cargo test`: a name to filter by, `-p CRATE`, `-- --nocapture`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

/// The test binary whose tests run on every adapter.
const GPU_SUITE: &str = "gpu_parity";

/// Runs the tests, the GPU tests once more on SwiftShader, those of the page in a browser, and prints their number last, `N passed, N failed`, alone on a line.
///
/// # Errors
/// A tool is missing, something does not build, a test fails, no test ran at all, or a GPU test did not run on an adapter.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::ensure(args.install, args.trainer_features)?;
    let notes = std::env::temp_dir().join(format!("folio-gpu-tests-{}.txt", std::process::id()));
    let mut counts = TestCounts::default();
    let outcome = run_all(args, &notes, &mut counts);
    std::fs::remove_file(&notes).unwrap_or_default();
    println!("{counts}");
    outcome?;
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn run_all(args: &Args, notes: &Path, counts: &mut TestCounts) -> Result<()> {
    if args.browser {
        return browser::run(counts);
    }
    if args.trainer_features {
        return trainer_features::run(counts);
    }
    let mut command = cargo_test();
    if args.burn_wgpu {
        command.args([
            "-p",
            "folio-engine",
            "--features",
            "burn-wgpu,flex",
            "--test",
            "burn_wgpu",
        ]);
        return counted(command.args(&args.rest), counts);
    }
    // A package named by the caller replaces the workspace.
    let own_package = |arg: &String| arg.starts_with("-p") || arg.starts_with("--package");
    if !args.rest.iter().any(own_package) {
        command.arg("--workspace");
    }
    command.args(&args.rest).env("FOLIO_GPU_LOG", notes);
    let first = counted(&mut command, counts);
    // Whoever asks for some tests gets those.
    if !args.rest.is_empty() {
        return first;
    }
    let driver = &drivers::SWIFTSHADER;
    let Some(icd) = driver.find() else {
        // Chromium brings SwiftShader: without it there is no browser either.
        eprintln!(
            "note: {} is not installed, FOLIO_ALLOW_NO_GPU=1: the GPU tests run without it",
            driver.name
        );
        return first;
    };
    let mut command = cargo_test();
    command.args(["--workspace", "--test", GPU_SUITE, "--test", "gpu"]);
    command.env("FOLIO_GPU_LOG", notes).env("VK_ICD_FILENAMES", icd);
    eprintln!("the GPU tests once more, on {}:", driver.name);
    let second = counted(&mut command, counts);
    let third = browser::run(counts);
    first.and(second).and(third)?;

    let list = process::output(cargo_test().args(["--workspace", "--test", GPU_SUITE, "--", "--list"]))?;
    let tests = gpu_runs::listed(&String::from_utf8_lossy(&list));
    let runs = GpuRuns::parse(&std::fs::read_to_string(notes).unwrap_or_default());
    for line in runs.lines(tests.len()) {
        println!("{line}");
    }
    // SwiftShader and what the system has: lavapipe, and a real GPU if there is one.
    runs.check(&tests, if drivers::allowed_without() { 1 } else { 2 })
}

/// `cargo test` as it always is here.
fn cargo_test() -> Command {
    // All binaries run, so that the count is that of the whole workspace even when one fails.
    let mut command = process::cargo(&["test", "--release", "--no-fail-fast"]);
    command.stdin(Stdio::null());
    checked(&mut command);
    // A required tool is there by now: a test that skips itself for want of it would hide a fault.
    command.env("FOLIO_REQUIRE_TESSERACT", "1");
    command
}

/// Switches on the checks that tests run with.
pub(crate) fn checked(command: &mut Command) {
    // The release profile, so that the dependencies are not built a second time for the tests; our own crates with the
    // checks that a debug build has (see the profiles in Cargo.toml).
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    command.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
}

/// Runs `command`, shows what it prints and adds its tests to `counts`.
pub(crate) fn counted(command: &mut Command, counts: &mut TestCounts) -> Result<()> {
    let failed_before = counts.failed;
    let outcome = process::each_line(command, |line| {
        println!("{line}");
        counts.add_line(line);
    });
    if outcome.is_err() && counts.failed == failed_before {
        // Nothing built, or a test binary died before it could count.
        eprintln!("cargo test failed and counted no failed test: see above");
    }
    outcome.context("the tests did not pass")
}
