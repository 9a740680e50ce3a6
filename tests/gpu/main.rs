//! The GPU parity suite: every test runs on every adapter of this computer, and says so in `$FOLIO_GPU_LOG`.
//!
//! Kernels against their plain-Rust twins, the GPU runner against the burn runner, and what happens when things go wrong.
//! Machines check every access and poison fresh buffers.
#![allow(clippy::unwrap_used)]

mod adapter;
#[cfg(feature = "burn")]
mod end_to_end;
mod faults;
mod kernels;
mod sampling;
