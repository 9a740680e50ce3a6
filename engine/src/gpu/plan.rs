//! How much memory a model takes on a machine, before anything is allocated.

use super::kv;
use super::machine::Limits;
use super::matrix::{matrix_layout, weight_of};
use super::scratch;
use super::source::TensorSource;
use crate::checkpoint::tensors;
use crate::config::Config;
use crate::{Error, Result};

/// Bytes by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Weights as they lie on the device.
    pub weights: u64,
    /// KV of `slots` slots.
    pub kv: u64,
    /// Slots that the KV holds.
    pub slots: usize,
    /// Everything that a forward pass needs besides.
    pub scratch: u64,
}

impl MemoryPlan {
    /// Plans `config` with room for `slots` slots.
    ///
    /// # Errors
    /// A tensor that `source` has not as it should be.
    pub fn new(config: &Config, source: &dyn TensorSource, slots: usize) -> Result<Self> {
        let mut weights = 0;
        for spec in tensors(config) {
            let matrix = spec.shape.len() > 1 && !spec.name.ends_with("position_embedding.weight");
            weights += if matrix {
                let inputs = spec.shape[1..].iter().product();
                matrix_layout(weight_of(source.stored_type(&spec)?), spec.shape[0], inputs).bytes
            } else {
                4 * spec.elements() as u64
            };
        }
        Ok(Self {
            weights,
            kv: 2 * config.text.num_hidden_layers as u64 * kv::layer_bytes(&config.text, slots),
            slots,
            scratch: scratch::sizes(config).list().iter().map(|(_, bytes)| bytes).sum(),
        })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.scratch
    }

    /// Whether a machine with `limits` can hold it.
    ///
    /// # Errors
    /// It cannot: with the numbers, and what would help.
    pub fn check(&self, config: &Config, limits: &Limits) -> Result<()> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if let Some(memory) = limits.memory_bytes
            && self.total() > memory
        {
            return Err(Error::GpuTooSmall(format!(
                "the model needs {} MiB on the GPU ({} weights, {} KV for {} slots, {} scratch), {} MiB are there. Ask for \
                 a shorter text, or quantise the model (folio convert --quantize q4_0)",
                mib(self.total()),
                mib(self.weights),
                mib(self.kv),
                self.slots,
                mib(self.scratch),
                memory >> 20
            )));
        }
        let layer = kv::layer_bytes(&config.text, self.slots);
        if layer > limits.binding_bytes {
            return Err(Error::GpuTooSmall(format!(
                "{} slots of KV take {} MiB a layer, this GPU lets a kernel see {} MiB at once: at most {} slots fit. Ask \
                 for a shorter text",
                self.slots,
                mib(layer),
                limits.binding_bytes >> 20,
                limits.binding_bytes / kv::layer_bytes(&config.text, 1).max(1)
            )));
        }
        if let Some((name, bytes)) = scratch::sizes(config)
            .list()
            .into_iter()
            .find(|(_, bytes)| *bytes > limits.binding_bytes)
        {
            return Err(Error::GpuTooSmall(format!(
                "buffer `{name}` of a forward pass takes {} MiB, this GPU lets a kernel see {} MiB at once",
                mib(bytes),
                limits.binding_bytes >> 20
            )));
        }
        shapes(config)
    }
}

/// Kernels read groups of four values.
fn shapes(config: &Config) -> Result<()> {
    let text = &config.text;
    let mut sizes = vec![
        ("hidden_size", text.hidden_size),
        ("intermediate_size", text.intermediate_size),
        ("head_dim", text.head_dim),
    ];
    if let Some(fold) = &config.fold {
        let v = &fold.vision;
        sizes.extend([
            ("vision_config.hidden_size", v.hidden_size),
            ("vision_config.intermediate_size", v.intermediate_size),
            (
                "vision_config.hidden_size / num_attention_heads",
                v.hidden_size / v.num_attention_heads,
            ),
            ("the length of a patch", v.patch_len()),
            ("aligner.hidden_size", fold.aligner.hidden_size.unwrap_or(4)),
        ]);
    }
    if let Some((name, size)) = sizes.iter().find(|(_, size)| !size.is_multiple_of(4)) {
        return Err(Error::Gpu(format!(
            "{name} is {size}: the GPU runner needs a multiple of 4"
        )));
    }
    let head_dims = [
        Some(text.head_dim),
        config
            .fold
            .as_ref()
            .map(|f| f.vision.hidden_size / f.vision.num_attention_heads),
    ];
    match head_dims.into_iter().flatten().find(|&dim| dim > MAX_HEAD_DIM) {
        Some(dim) => Err(Error::Gpu(format!(
            "heads of {dim} values are larger than the GPU runner can do ({MAX_HEAD_DIM})"
        ))),
        None => Ok(()),
    }
}

/// Largest head of `visual_attention`.
const MAX_HEAD_DIM: usize = 256;
