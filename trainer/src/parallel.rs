//! Work shared between threads, with results in the order of the work.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// `f` of every item, on `threads` threads; the results in the items' order. A thread that has nothing left to do takes parts of the
/// others' matrix products (`folio_engine`'s, by rayon).
///
/// # Panics
/// As `f`.
pub fn in_parallel<T: Send, R: Send>(threads: usize, items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    match pool(threads.max(1)) {
        Some(pool) => pool.install(|| items.into_par_iter().with_max_len(1).map(&f).collect()),
        None => items.into_iter().map(f).collect(),
    }
}

/// The threads, made once; none if the system gives none.
fn pool(threads: usize) -> Option<Arc<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&threads) {
        return Some(pool.clone());
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(threads).build().ok()?);
    pools.insert(threads, pool.clone());
    Some(pool)
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
