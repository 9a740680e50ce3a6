//! Ctrl-C: the first asks the running text to end, the second (or one while input is awaited) ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::failure::INTERRUPTED;

static WATCHING: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C only sets a flag that [`asked`] reads. Also serves SIGTERM and SIGHUP.
pub(crate) fn watch() -> anyhow::Result<()> {
    if WATCHING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if WAITING.load(Ordering::SeqCst) || ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C came.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Forgets an earlier Ctrl-C.
pub(crate) fn clear() {
    ASKED.store(false, Ordering::SeqCst);
}

/// Runs `wait`, during which Ctrl-C ends the program.
pub(crate) fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    WAITING.store(true, Ordering::SeqCst);
    let out = wait();
    WAITING.store(false, Ordering::SeqCst);
    out
}
