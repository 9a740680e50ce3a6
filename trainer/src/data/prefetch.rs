//! Cutting and drawing batches ahead of the training step, on a thread of its own.

use super::batch::{Sample, SampleRequest};
use super::pack::Windows;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Batches in order, made ahead of time. Dropping it ends the thread.
#[derive(Debug)]
pub struct Prefetch {
    batches: Receiver<(u64, Vec<Sample>)>,
}

impl Prefetch {
    /// Makes the batches that `plan` asks for, step by step from `first` until it gives `None`; at most `depth` wait.
    pub fn start(
        windows: Windows,
        first: u64,
        depth: usize,
        plan: impl Fn(u64) -> Option<Vec<SampleRequest>> + Send + 'static,
    ) -> Self {
        let (give, batches) = sync_channel(depth.max(1));
        std::thread::spawn(move || {
            for step in first.. {
                let Some(requests) = plan(step) else { return };
                let batch = requests.iter().map(|request| windows.sample(request)).collect();
                if give.send((step, batch)).is_err() {
                    return;
                }
            }
        });
        Self { batches }
    }
}

impl Iterator for Prefetch {
    type Item = (u64, Vec<Sample>, Duration);

    /// The next step's number, its batch, and how long it was waited for; `None` after the last.
    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let (step, batch) = self.batches.recv().ok()?;
        Some((step, batch, start.elapsed()))
    }
}
