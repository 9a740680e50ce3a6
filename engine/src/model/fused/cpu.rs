//! The kernels: plain Rust on slices, each with its gradient.
//!
//! Those with a gradient are single-threaded on purpose: the trainer runs one share of the batch per thread. Those that
//! only inference uses take all cores.

mod attention;
#[cfg(feature = "train")]
mod cross_entropy;
mod few;
mod flash;
mod flash_loops;
mod level;
#[cfg(feature = "train")]
mod linear;
mod math;
mod norms;
mod page_attention;
mod pointwise;
#[cfg(feature = "train")]
mod rounded;
mod shares;
mod stored;
#[cfg(feature = "train")]
mod update;
mod wide;

/// Numbers to read (1 MB) that are worth waking the other cores for: they take a hundred microseconds or so, and waking
/// takes ten, or far more on a busy machine.
const WORTH_SHARING: usize = 1 << 18;

pub(super) use attention::{Heads, attention};
pub(super) use flash::{Buffer, Numbers, flash};
pub(super) use norms::{layer_norm, rms_norm};
pub(super) use page_attention::page_attention;
pub(super) use pointwise::{gelu_tanh, mat_vec, rotate, swiglu};
pub(super) use shares::flash_watched;
pub(super) use stored::{Stored, linear as linear_stored, rows as stored_rows};

#[cfg(feature = "train")]
mod gradients {
    pub(in super::super) use super::attention::attention_backward;
    pub(in super::super) use super::cross_entropy::cross_entropy;
    pub(in super::super) use super::linear::{
        column_sums, linear, linear_backward_w, linear_backward_x, product_in_bf16,
    };
    pub(in super::super) use super::math::View;
    pub(in super::super) use super::norms::{layer_norm_backward, rms_norm_backward};
    pub(in super::super) use super::page_attention::page_attention_backward;
    pub(in super::super) use super::pointwise::{gelu_tanh_backward, swiglu_backward};
    pub(in super::super) use super::rounded::{Source, in_bf16};
    pub(in super::super) use super::update::{adamw, add, squares};
}
#[cfg(feature = "train")]
pub(super) use gradients::*;

#[cfg(all(test, feature = "train"))]
mod tests;
