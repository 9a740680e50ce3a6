//! `cargo xtask lint`: formatting, clippy, and the sizes of files.

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// No file in git is larger than this: a repository is cloned more often than a model is wanted.
const MAX_FILE_BYTES: u64 = 50_000_000;
/// A longer source file is reported: one room, or two that share a wall?
const LONG_SOURCE_LINES: usize = 500;

/// Runs every check.
///
/// # Errors
/// The first check that fails.
pub(crate) fn run() -> Result<()> {
    process::run(&mut process::cargo(&["fmt", "--all", "--check"])).context("run `cargo fmt --all`")?;
    check_sizes()?;
    // The release profile only to share build scripts and macros with the build: see `test`.
    let command = "clippy --release --workspace --all-targets -- -D warnings";
    process::run(&mut process::cargo(&command.split(' ').collect::<Vec<_>>()))
}

/// Refuses large files and reports long sources.
fn check_sizes() -> Result<()> {
    let root = process::root();
    let listed = process::output(Command::new("git").current_dir(&root).args(["ls-files", "-z"]))?;
    let mut too_large = Vec::new();
    for name in listed.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = PathBuf::from(String::from_utf8_lossy(name).into_owned());
        // Listed but not there: deleted and not yet committed.
        let Ok(metadata) = std::fs::metadata(root.join(&name)) else {
            continue;
        };
        if metadata.len() > MAX_FILE_BYTES {
            too_large.push(format!("{} ({} MB)", name.display(), metadata.len() / 1_000_000));
        }
        if name.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read(root.join(&name)).with_context(|| format!("cannot read {}", name.display()))?;
            let lines = source.iter().filter(|&&byte| byte == b'\n').count();
            if lines > LONG_SOURCE_LINES {
                eprintln!("note: {} has {lines} lines (over {LONG_SOURCE_LINES})", name.display());
            }
        }
    }
    if !too_large.is_empty() {
        bail!(
            "files over {} MB in git: {}",
            MAX_FILE_BYTES / 1_000_000,
            too_large.join(", ")
        );
    }
    Ok(())
}
