//! burn's CUDA backend, for training: the default bodies.

use super::Fused;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;

/// burn on CUDA, with burn's own fusion of neighbouring operations.
pub type BurnCuda = burn_cuda::Cuda<f32, i32>;

impl Fused for BurnCuda {}

impl<C: CheckpointStrategy> Fused for Autodiff<BurnCuda, C> {}
