//! A stopwatch.

// The standard clock; in a browser, whose wasm has none, `performance.now()`.
use web_time::Instant;

/// Seconds since [`Stopwatch::start`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Seconds so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}
