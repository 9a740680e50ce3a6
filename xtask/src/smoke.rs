//! `cargo xtask smoke`: the first command of README.md, as a stranger would run it.

use crate::process;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Runs the README's first command and checks that it writes text to stdout.
///
/// # Errors
/// README.md has no such command, it fails, or it writes nothing.
pub(crate) fn run() -> Result<()> {
    let root = process::root();
    let readme = std::fs::read_to_string(root.join("README.md")).context("cannot read README.md")?;
    let line = first_command(&readme).context("README.md has no line that starts with `cargo run`")?;
    eprintln!("$ {line}");
    let text = process::output(
        Command::new("sh")
            .args(["-c", line])
            .current_dir(&root)
            .stdin(Stdio::null()),
    )?;
    let text = String::from_utf8(text).context("what it wrote is not UTF-8")?;
    println!("{}", text.trim_end());
    if !text.chars().any(char::is_alphabetic) {
        bail!("`{line}` wrote no text");
    }
    Ok(())
}

/// The first line of a code block that runs the program.
fn first_command(readme: &str) -> Option<&str> {
    let mut in_block = false;
    readme.lines().map(str::trim).find(|line| {
        in_block ^= line.starts_with("```");
        in_block && line.starts_with("cargo run ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_command_inside_a_code_block() {
        let readme = "cargo run is used here\n```sh\ncargo build\ncargo run -- a\ncargo run -- b\n```\n";
        assert_eq!(first_command(readme), Some("cargo run -- a"));
        assert_eq!(first_command("```\ncargo build\n```\ncargo run --"), None);
    }

    #[test]
    fn the_readme_has_one() {
        let readme = std::fs::read_to_string(process::root().join("README.md")).unwrap_or_default();
        let line = first_command(&readme).unwrap_or_default();
        assert!(line.starts_with("cargo run --release -- generate --prompt"), "{line:?}");
    }
}
