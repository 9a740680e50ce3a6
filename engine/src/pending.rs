//! Answers that a device gives later: at once outside a browser, after a turn of the event loop within one.

use std::pin::Pin;

use crate::Result;

/// What an operation gives once its device has done it.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// An answer that is there already.
pub fn ready<'a, T: 'a>(answer: Result<T>) -> Pending<'a, T> {
    Box::pin(std::future::ready(answer))
}

/// Waiting in place, outside a browser: there every machine answers before it lets go of the thread.
pub trait Wait: Future + Sized {
    /// Waits for the answer. In a browser this would wait for ever: await it there.
    fn wait(self) -> Self::Output {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut future = std::pin::pin!(self);
        loop {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(output) => return output,
                std::task::Poll::Pending => std::thread::yield_now(),
            }
        }
    }
}

impl<F: Future> Wait for F {}
