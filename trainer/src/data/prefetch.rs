//! Cutting and drawing batches ahead of the training step, on threads of their own.

use super::batch::{Sample, SampleRequest};
use crate::{Error, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Batches in order, made ahead of time. Dropping it ends the threads.
#[derive(Debug)]
pub struct Prefetch {
    /// Thread `w` makes every step `first + w`, `first + w + workers`, …
    workers: Vec<Receiver<(u64, Result<Vec<Sample>>)>>,
    next: usize,
}

impl Prefetch {
    /// Makes the batches that `plan` asks for, step by step from `first` until it gives `None`, by `sample` on `workers`
    /// threads; at most about `depth` wait. What a batch holds depends on its step only, not on the threads.
    pub fn start<S, P>(sample: S, first: u64, depth: usize, workers: usize, plan: P) -> Self
    where
        S: Fn(&SampleRequest) -> Result<Sample> + Send + Sync + 'static,
        P: Fn(u64) -> Option<Vec<SampleRequest>> + Send + Sync + 'static,
    {
        let workers = workers.max(1);
        let shared = Arc::new((sample, plan));
        let start = |w: usize| {
            let (give, batches) = sync_channel((depth / workers).max(1));
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let (sample, plan) = &*shared;
                for step in (first + w as u64..).step_by(workers) {
                    // A thread that died silently would look like the end of the plan. What a panic leaves half done is
                    // not used again: this thread ends, and so does the run.
                    let made = catch_unwind(AssertUnwindSafe(|| {
                        let requests = plan(step)?;
                        Some(requests.iter().map(sample).collect())
                    }));
                    let batch: Result<Vec<Sample>> = match made {
                        Ok(Some(batch)) => batch,
                        Ok(None) => return,
                        Err(panic) => Err(panicked(step, &*panic)),
                    };
                    let failed = batch.is_err();
                    if give.send((step, batch)).is_err() || failed {
                        return;
                    }
                }
            });
            batches
        };
        Self {
            workers: (0..workers).map(start).collect(),
            next: 0,
        }
    }
}

/// The error of a batch whose making panicked: a fault of ours, or memory that ran out.
fn panicked(step: u64, panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::invalid(
        format!("making the batch of step {} failed", step + 1),
        format!("{said} (a panic: please report it; --resume goes on from the last checkpoint)"),
    )
}

impl Iterator for Prefetch {
    type Item = (u64, Result<Vec<Sample>>, Duration);

    /// The next step's number, its batch, and how long it was waited for; `None` after the last, and after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let (step, batch) = self.workers[self.next].recv().ok()?;
        self.next = (self.next + 1) % self.workers.len();
        Some((step, batch, start.elapsed()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample(request: &SampleRequest) -> Result<Sample> {
        if request.index == 99 {
            return Err(Error::Argument("no image".to_owned()));
        }
        // The later, the quicker: threads overtake each other.
        std::thread::sleep(Duration::from_millis(20u64.saturating_sub(request.index)));
        Ok(Sample {
            kind: request.kind,
            document: request.index as usize,
            start: 0,
            chunks: Vec::new(),
        })
    }

    fn plan(until: u64, index: impl Fn(u64) -> u64 + Send + Sync) -> impl Fn(u64) -> Option<Vec<SampleRequest>> {
        move |step| {
            let index = index(step);
            (step < until).then(|| {
                vec![SampleRequest {
                    index,
                    ..Default::default()
                }]
            })
        }
    }

    #[test]
    fn batches_come_in_order_from_any_number_of_threads() {
        for workers in [1, 2, 3] {
            let steps: Vec<(u64, usize)> = Prefetch::start(sample, 5, 4, workers, plan(17, |s| s))
                .map(|(step, batch, _)| (step, batch.unwrap()[0].document))
                .collect();
            assert_eq!(steps, (5..17).map(|s| (s, s as usize)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_arrives_at_its_step() {
        let at_seven = plan(20, |s| if s == 7 { 99 } else { s });
        let found: Vec<(u64, bool)> = Prefetch::start(sample, 5, 4, 2, at_seven)
            .take(3)
            .map(|(step, batch, _)| (step, batch.is_err()))
            .collect();
        assert_eq!(found, [(5, false), (6, false), (7, true)]);
    }

    #[test]
    fn a_panic_arrives_as_the_error_of_its_step() {
        for workers in [1, 2] {
            let torn = |request: &SampleRequest| match request.index {
                7 => panic!("no such row"),
                _ => sample(request),
            };
            let found: Vec<_> = Prefetch::start(torn, 5, 4, workers, plan(20, |s| s)).take(3).collect();
            let steps: Vec<u64> = found.iter().map(|(step, _, _)| *step).collect();
            assert_eq!(steps, [5, 6, 7]);
            let error = found[2].1.as_ref().unwrap_err().to_string();
            assert!(
                error.contains("making the batch of step 8 failed: no such row"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_plan_that_panics_is_no_end() {
        let torn = |step| match step {
            6 => panic!("step {step} is torn"),
            _ => plan(20, |s| s)(step),
        };
        let found: Vec<_> = Prefetch::start(sample, 5, 4, 1, torn).collect();
        assert_eq!(found.len(), 2);
        let error = found[1].1.as_ref().unwrap_err().to_string();
        assert!(error.contains("step 7") && error.contains("step 6 is torn"), "{error}");
    }
}
