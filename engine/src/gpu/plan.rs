//! How much memory a model takes on a machine, before anything is allocated.

use super::kv;
use super::machine::Limits;
use super::matrix::{matrix_layout, weight_together};
use super::scratch;
use super::source::TensorSource;
use crate::checkpoint::{TensorSpec, tensors};
use crate::config::Config;
use crate::{Error, Result};
use std::collections::BTreeMap;

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
        let specs = tensors(config);
        let mut weights = 0;
        let mut matrices: BTreeMap<String, Vec<&TensorSpec>> = BTreeMap::new();
        for spec in &specs {
            if spec.shape.len() > 1 && !spec.name.ends_with("position_embedding.weight") {
                matrices.entry(matrix_of(&spec.name)).or_default().push(spec);
            } else {
                weights += 4 * spec.elements() as u64;
            }
        }
        for parts in matrices.values() {
            let inputs = parts[0].shape[1..].iter().product();
            let rows = parts.iter().map(|spec| spec.shape[0]).sum();
            weights += matrix_layout(weight_together(source, parts)?, rows, inputs).bytes;
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

/// The matrix that a tensor is part of: what is multiplied with the same input lies together.
fn matrix_of(name: &str) -> String {
    let renamed = |parts: &[&str], whole: &str| {
        let part = parts.iter().find(|part| name.contains(**part))?;
        Some(name.replace(part, whole))
    };
    renamed(&[".q_proj.", ".k_proj.", ".v_proj."], ".qkv_proj.")
        .or_else(|| renamed(&[".gate_proj.", ".up_proj."], ".gate_up_proj."))
        .unwrap_or_else(|| name.to_owned())
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
