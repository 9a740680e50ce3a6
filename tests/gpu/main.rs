//! The GPU parity suite: every test runs on every adapter of this computer, and says so in `$FOLIO_GPU_LOG`.
//!
//! Kernels against their plain-Rust twins, the GPU runner against the burn runner, and what happens when things go wrong.
//! Machines check every access and poison fresh buffers.
#![allow(clippy::unwrap_used)]
// What ran where is told on the test's own output.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(
    clippy::needless_update,
    reason = "whether a kernel's parameters end in padding is not the test's business"
)]

mod adapter;
mod counts;
#[cfg(feature = "burn")]
mod end_to_end;
mod faults;
mod kernels;
#[cfg(feature = "burn")]
mod layers;
mod sampling;
