//! Every tensor that a configuration calls for, by its Hugging Face name.
use crate::config::Config;
/// Name and shape of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Full name, as in the file.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
}
/// The tensors of a model, in a fixed order.
pub fn tensors(_config: &Config) -> Vec<TensorSpec> {
    unimplemented!()
}
