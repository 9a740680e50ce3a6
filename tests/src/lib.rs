//! Helpers of the tests across crates: tiny models, scripts that two runners follow, machines with faults.

// What fails here fails the test.
#![allow(clippy::unwrap_used)]

pub mod machines;
pub mod models;
pub mod script;
pub mod story;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The output of a future that is ready at once, as those of machines are outside a browser.
///
/// # Panics
/// If it is not.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future of a machine waits"),
    }
}
