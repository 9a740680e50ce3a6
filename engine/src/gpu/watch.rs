//! Watching which pages text asks for: two small buffers, there only while it is wanted.

use super::machine::Machine;
use super::recording::Buffer;
use super::scratch::batch_rows;
use crate::Result;
use crate::config::Config;
use folio_shaders::{ask_rows, ask_slots};

/// Where attention on the memory is added up.
#[derive(Debug)]
pub(super) struct Watch {
    /// Largest score and sum of weights of the present rows, `[rows, heads]`.
    pub(super) softmax: Buffer,
    /// What each slot was given so far, `[slots]`.
    pub(super) asked: Buffer,
    /// Slots that there is room for.
    slots: usize,
    /// Slots of the memory that text sees.
    pub(super) memory: usize,
    /// Whether `asked` holds what is to be forgotten.
    pub(super) stale: bool,
}

impl Watch {
    /// Buffers for `slots` slots, and the kernels that fill them.
    pub(super) fn new<M: Machine>(machine: &mut M, config: &Config, slots: usize) -> Result<Self> {
        let kernels = [ask_rows::kernel(machine.style()), ask_slots::kernel()];
        machine.prepare(&kernels, &mut |_| {})?;
        let rows = batch_rows(config) * config.text.num_attention_heads;
        Ok(Self {
            softmax: machine.create("softmax", 8 * rows as u64)?,
            asked: machine.create("asked", 4 * slots as u64)?,
            slots,
            memory: 0,
            stale: true,
        })
    }

    /// Makes ready for text behind `memory` slots, in a KV of `slots`. What was recorded before must have been played.
    pub(super) fn ready<M: Machine>(&mut self, machine: &mut M, slots: usize, memory: usize) -> Result<()> {
        if slots > self.slots {
            let larger = machine.create("asked", 4 * slots as u64)?;
            machine.upload(larger, 0, &vec![0; 4 * slots])?;
            if !self.stale {
                machine.copy(self.asked, larger, 4 * self.slots as u64)?;
            }
            machine.free(std::mem::replace(&mut self.asked, larger));
            self.slots = slots;
        } else if self.stale {
            machine.upload(self.asked, 0, &vec![0; 4 * self.slots])?;
        }
        self.stale = false;
        self.memory = memory;
        Ok(())
    }

    pub(super) fn buffers(&self) -> [Buffer; 2] {
        [self.softmax, self.asked]
    }
}
