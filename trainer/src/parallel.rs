//! Work shared between threads, with results in the order of the work.

use std::sync::{Mutex, PoisonError};

/// `f` of every item, on `threads` threads; the results in the items' order.
///
/// # Panics
/// As `f`.
pub fn in_parallel<T: Send, R: Send>(threads: usize, items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(f).collect();
    }
    let threads = threads.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some((i, item)) = take() {
            done.push((i, f(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_unstable_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn results_are_in_order(items in proptest::collection::vec(0u32..1000, 0..60), threads in 0usize..5) {
            let want: Vec<u32> = items.iter().map(|x| x * 3 + 1).collect();
            prop_assert_eq!(in_parallel(threads, items, |x| x * 3 + 1), want);
        }
    }
}
