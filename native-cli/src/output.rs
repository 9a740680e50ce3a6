//! Text on stdout.

use std::io::{IsTerminal, Write};

use anyhow::Context;

/// Streams text to stdout, flushing after every piece.
pub(crate) struct TextOut {
    ends_with_newline: bool,
    terminal: bool,
}

impl TextOut {
    /// Nothing written yet.
    pub(crate) fn new() -> Self {
        Self {
            ends_with_newline: true,
            terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Writes `text` at once; `false` when nobody reads any more.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<bool> {
        if text.is_empty() {
            return Ok(true);
        }
        self.ends_with_newline = text.ends_with('\n');
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(e).context("cannot write to stdout"),
        }
    }

    /// Ends the last line on a terminal; a pipe gets exactly the text.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        if self.terminal && !self.ends_with_newline {
            self.write("\n")?;
        }
        Ok(())
    }
}

/// Writes a whole result (JSON, a table) to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}

/// JSON for people and programs, with a newline at the end.
pub(crate) fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value).context("cannot encode the result")? + "\n")
}
