//! Counting what is computed while it is computed: a check of the formulas, not a second source of them.

use std::cell::Cell;

thread_local! {
    /// Operations of matrix products that this thread has asked a backend for.
    static FLOPS: Cell<u64> = const { Cell::new(0) };
}

/// Counts `flops` operations. Whoever multiplies matrices for a runner calls this with the sizes that it multiplies.
pub fn count(flops: u64) {
    FLOPS.with(|total| total.set(total.get().wrapping_add(flops)));
}

/// Operations that this thread has counted; differences have a meaning.
pub fn counted() -> u64 {
    FLOPS.with(Cell::get)
}
