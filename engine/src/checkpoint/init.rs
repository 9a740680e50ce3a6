//! Random initialisation, as for training.
use super::TensorSpec;
use crate::config::Config;
/// The initial values of one tensor: a function of seed, name and shape only, not of order.
pub fn init_tensor(_config: &Config, _spec: &TensorSpec, _seed: u64) -> Vec<f32> {
    unimplemented!()
}
