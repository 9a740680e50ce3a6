//! The kernels: plain Rust on slices, each with its gradient.
//!
//! They are single-threaded on purpose: the trainer runs one share of the batch per thread.

mod attention;
mod math;
mod pointwise;

#[cfg(feature = "train")]
pub(super) use attention::attention_backward;
pub(super) use attention::{Heads, attention};
pub(super) use pointwise::{gelu_tanh, mat_vec, rms_norm, rotate, swiglu};
#[cfg(feature = "train")]
pub(super) use pointwise::{gelu_tanh_backward, rms_norm_backward, swiglu_backward};

#[cfg(all(test, feature = "train"))]
mod tests;
