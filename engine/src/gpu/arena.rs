//! The parameters of all launches of a recording, in one uniform buffer.

use super::pipelines::PARAMS_STRIDE;
use std::collections::HashMap;

/// Bytes at first: most recordings repeat few parameters.
const FIRST: u64 = 64 * PARAMS_STRIDE;

/// One buffer for parameters. Equal parameters (the same layer shape) are stored once.
#[derive(Debug)]
pub(super) struct Arena {
    buffer: wgpu::Buffer,
}

impl Arena {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Self {
            buffer: create(device, FIRST),
        }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Writes the parameters of launches; gives the offset of each, and whether the buffer is a new, larger one.
    pub(super) fn fill<'a>(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        params: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u32>, bool) {
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        let mut bytes: Vec<u8> = Vec::new();
        let offsets = params
            .map(|params| {
                *known.entry(params).or_insert_with(|| {
                    let offset = bytes.len();
                    bytes.extend_from_slice(params);
                    bytes.resize(offset + PARAMS_STRIDE as usize, 0);
                    offset as u32
                })
            })
            .collect();
        let grown = bytes.len() as u64 > self.buffer.size();
        if grown {
            self.buffer = create(device, (bytes.len() as u64).next_power_of_two());
        }
        queue.write_buffer(&self.buffer, 0, &bytes);
        (offsets, grown)
    }
}

fn create(device: &wgpu::Device, size: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("parameters"),
        size,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
