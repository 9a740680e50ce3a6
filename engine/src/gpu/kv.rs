//! Keys and values of every layer, in buffers of equal length.

use super::machine::Machine;
use super::recording::Buffer;
use crate::Result;
use crate::config::TextConfig;

/// One layer's, each `[slots, kv_heads, head_dim]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerKv {
    pub(super) k: Buffer,
    pub(super) v: Buffer,
}

/// All layers'.
#[derive(Debug)]
pub(super) struct Kv {
    pub(super) layers: Vec<LayerKv>,
    /// Rows that fit.
    pub(super) slots: usize,
}

/// Bytes of one layer's keys (or values) of `slots` slots.
pub(super) fn layer_bytes(text: &TextConfig, slots: usize) -> u64 {
    // In 64 bits: a browser's usize has 32.
    slots as u64 * (text.kv_size() * size_of::<f32>()) as u64
}

impl Kv {
    pub(super) fn new<M: Machine>(machine: &mut M, text: &TextConfig, slots: usize) -> Result<Self> {
        let bytes = layer_bytes(text, slots);
        let mut layers = Vec::with_capacity(text.num_hidden_layers);
        for _ in 0..text.num_hidden_layers {
            layers.push(LayerKv {
                k: machine.create("keys", bytes)?,
                v: machine.create("values", bytes)?,
            });
        }
        Ok(Self { layers, slots })
    }

    /// Makes room for `slots` rows; what is held stays. Grown layer by layer, so that little is held twice.
    pub(super) fn grow<M: Machine>(&mut self, machine: &mut M, text: &TextConfig, slots: usize) -> Result<()> {
        let (old, new) = (layer_bytes(text, self.slots), layer_bytes(text, slots));
        for layer in &mut self.layers {
            for buffer in [&mut layer.k, &mut layer.v] {
                let larger = machine.create("keys or values", new)?;
                machine.copy(*buffer, larger, old)?;
                machine.free(std::mem::replace(buffer, larger));
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self, text: &TextConfig) -> u64 {
        2 * self.layers.len() as u64 * layer_bytes(text, self.slots)
    }

    pub(super) fn buffers(&self) -> Vec<Buffer> {
        self.layers.iter().flat_map(|layer| [layer.k, layer.v]).collect()
    }
}
