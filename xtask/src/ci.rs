//! `cargo xtask ci`: what has to pass before a change lands.

use crate::{lint, smoke, test};
use anyhow::Result;

/// Lint, then the README's first command, then the tests of the trainer's features, then all others, whose count comes last.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run() -> Result<()> {
    lint::run()?;
    smoke::run()?;
    test::run(&test::Args {
        install: true,
        trainer_features: true,
        ..Default::default()
    })?;
    test::run(&test::Args {
        install: true,
        ..Default::default()
    })
}
