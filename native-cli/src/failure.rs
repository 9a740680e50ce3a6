//! Errors to exit codes.

use std::process::ExitCode;

/// Exit code of a failure.
pub(crate) const FAILED: u8 = 1;
/// Exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Exit code after Ctrl-C, as shells know it (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// A mistake in how the command was called.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error with exit code 2.
pub(crate) fn usage(what: impl std::fmt::Display) -> anyhow::Error {
    Usage(what.to_string()).into()
}

/// Prints `error` on one line of stderr and gives its exit code. A broken pipe is no error: nobody reads any more.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(broken)) {
        return ExitCode::SUCCESS;
    }
    let gpu = error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(folio_engine::Error::is_gpu));
    let advice = if gpu { " (or use --device cpu)" } else { "" };
    eprintln!("error: {}{advice}", one_line(error));
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// The error and its causes, without saying twice what a message already holds.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line += if line.is_empty() { "" } else { ": " };
            line += &cause;
        }
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_on_one_line() {
        let inner = std::io::Error::other("disk\nfull");
        let engine = folio_engine::Error::io("write", "s.json", inner);
        let error = anyhow::Error::from(engine).context("at the end");
        assert_eq!(one_line(&error), "at the end: cannot write s.json: disk full");
    }
}
