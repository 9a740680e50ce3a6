//! Ctrl-C: the first asks the running text to end, the second (or one while nothing can be saved) ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::failure::INTERRUPTED;

static GRACEFUL: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C only sets a flag that [`asked`] reads. Also serves SIGTERM and SIGHUP.
pub(crate) fn watch() -> anyhow::Result<()> {
    if GRACEFUL.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C came.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
