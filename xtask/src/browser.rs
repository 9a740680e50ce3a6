//! The tests of the page in a real browser: builds the page, fetches playwright-core, drives Chromium.

use crate::{process, test, test_counts::TestCounts, tools, web};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A test of minutes is one that hangs.
const TIMEOUT_MS: &str = "900000";

/// Builds the page and runs the tests of `web-demo`; their numbers are added to `counts`.
///
/// # Errors
/// Node is missing, something does not build, a test fails.
pub(crate) fn run(counts: &mut TestCounts) -> Result<()> {
    if !tools::has("node") || !tools::has("npm") {
        bail!("the tests of the page need Node.js (20 or newer) and npm: install them, and try again");
    }
    web::build()?;
    let tests = process::root().join("web-demo/tests");
    process::run(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&tests),
    )?;
    let program = program()?;
    let mut node = Command::new("node");
    node.args([
        "--test",
        "--test-concurrency=1",
        "--test-reporter=tap",
        "--test-timeout",
        TIMEOUT_MS,
    ]);
    node.args(test_files(&tests)?);
    node.args(test_files(&process::root().join("web-demo/site/tests"))?);
    node.current_dir(&tests).env("FOLIO_BIN", program);
    let outcome = process::each_line(&mut node, |line| {
        println!("{line}");
        counts.add_tap_line(line);
    });
    eprintln!("screenshots are in {}", tests.join("shots").display());
    outcome
}

/// The native program that the page's text is compared with.
fn program() -> Result<PathBuf> {
    let mut build = process::cargo(&["build", "--quiet", "--release", "--package", "folio"]);
    // As for the other tests, so that it is there already.
    test::checked(&mut build);
    process::run(&mut build)?;
    let name = format!("folio{}", std::env::consts::EXE_SUFFIX);
    Ok(process::target_dir()?.join("release").join(name))
}

fn test_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs") || path.to_string_lossy().ends_with(".test.js"))
        .collect();
    files.sort();
    Ok(files)
}
