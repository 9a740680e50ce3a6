//! The kernels: plain Rust on slices, each with its gradient.
//!
//! Those with a gradient are single-threaded on purpose: the trainer runs one share of the batch per thread. Those that
//! only inference uses take all cores.

mod attention;
mod flash;
mod flash_loops;
mod half_weights;
mod math;
mod pointwise;
mod wide;

/// Numbers to read (1 MB) that are worth waking the other cores for: they take a hundred microseconds or so, and waking
/// takes ten, or far more on a busy machine.
const WORTH_SHARING: usize = 1 << 18;

#[cfg(feature = "train")]
pub(super) use attention::attention_backward;
pub(super) use attention::{Heads, attention};
pub(super) use flash::{Buffer, flash};
pub(super) use half_weights::linear_half;
pub(super) use pointwise::{gelu_tanh, mat_vec, rms_norm, rotate, swiglu};
#[cfg(feature = "train")]
pub(super) use pointwise::{gelu_tanh_backward, rms_norm_backward, swiglu_backward};

#[cfg(all(test, feature = "train"))]
mod tests;
