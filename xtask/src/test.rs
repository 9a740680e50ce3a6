//! `cargo xtask test`: every test of the workspace, counted.

use crate::test_counts::TestCounts;
use crate::{process, tools};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

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
    /// Passed on to `cargo test`: a name to filter by, `-p CRATE`, `-- --nocapture`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

/// Runs the tests and prints their number last, `N passed, N failed`, alone on a line.
///
/// # Errors
/// A tool is missing, something does not build, a test fails, or no test ran at all.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::ensure(args.install)?;
    let mut command = process::cargo(&["test", "--release"]);
    if args.burn_wgpu {
        command.args([
            "-p",
            "folio-engine",
            "--features",
            "burn-wgpu,flex",
            "--test",
            "burn_wgpu",
        ]);
    } else if !args
        // A package named by the caller replaces the workspace.
        .rest
        .iter()
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
    {
        command.arg("--workspace");
    }
    // All binaries run, so that the count is that of the whole workspace even when one fails.
    command
        .arg("--no-fail-fast")
        .args(&args.rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // The release profile, so that the dependencies are not built a second time for the tests; our own crates with the
    // checks that a debug build has (see the profiles in Cargo.toml).
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    command.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    // A required tool is there by now: a test that skips itself for want of it would hide a fault.
    command.env("FOLIO_REQUIRE_TESSERACT", "1");
    eprintln!("$ {}", process::show(&command));

    let mut child = command.spawn().context("cannot run cargo")?;
    let mut counts = TestCounts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read what cargo test prints")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts.add_line(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    if !status.success() && counts.failed == 0 {
        // Nothing built, or a test binary died before it could count.
        eprintln!("cargo test ended with {status} and counted no failed test: see above");
    }
    println!("{counts}");
    if !status.success() {
        bail!("the tests did not pass");
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}
