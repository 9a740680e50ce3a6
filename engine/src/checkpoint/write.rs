//! Writing safetensors.
use super::TensorSpec;
use crate::Result;
use std::path::Path;
/// Storage type of the weights in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// bfloat16.
    Bf16,
}
/// Writes `specs` to `dir` (sharded above 4 GiB), taking each tensor's values from `values` one at a time; files appear whole or not at all.
pub fn write(_dir: &Path, _specs: &[TensorSpec], _dtype: Dtype, _values: &mut dyn FnMut(&TensorSpec) -> Result<Vec<f32>>) -> Result<()> {
    unimplemented!()
}
