//! What the allocator does with memory that a step has given back.

/// Keeps freed memory for the next step. By default the C library returns large blocks to the system at once, and a step,
/// which needs the same blocks as the one before, then spends a tenth of its time having them cleared page by page.
pub(super) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two settings of the allocator; it takes them at any time, and refuses those it does not like.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20); // The most there can be: larger blocks are returned as before.
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
