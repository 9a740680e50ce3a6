//! A forward pass as plain data: which kernels run over which buffers. A [`super::Machine`] plays it.

use folio_shaders::Call;

/// A buffer of a machine.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buffer(pub(super) u32);

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Kernel, parameters and buffers.
    pub call: Call<Buffer>,
    /// Workgroups along x, y and z.
    pub grid: [u32; 3],
}

/// Bytes put into a buffer before anything of the recording runs.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where to.
    pub buffer: Buffer,
    /// From this byte on.
    pub offset: u64,
    /// What.
    pub data: Vec<u8>,
}

/// Launches in order, after writes. Played with one submit and one compute pass.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Before the launches.
    pub writes: Vec<Write>,
    /// In order; each sees what the ones before it wrote.
    pub dispatches: Vec<Dispatch>,
}

impl Recording {
    /// Puts `data` at the start of `buffer` before anything runs.
    ///
    /// Writes come before all launches, so a buffer is written once per recording.
    pub fn write<T: bytemuck::NoUninit>(&mut self, buffer: Buffer, data: &[T]) {
        debug_assert!(
            self.writes.iter().all(|write| write.buffer != buffer),
            "a buffer is written twice before anything runs"
        );
        self.writes.push(Write {
            buffer,
            offset: 0,
            data: bytemuck::cast_slice(data).to_vec(),
        });
    }

    /// Adds a launch over `x × y × z` workgroups; none at all when one of them is zero.
    pub fn dispatch(&mut self, call: Call<Buffer>, grid: [usize; 3]) {
        if grid.iter().all(|&n| n > 0) {
            // Sizes of models fit 32 bits: `plan` refuses those that do not.
            self.dispatches.push(Dispatch {
                call,
                grid: grid.map(|n| n as u32),
            });
        }
    }

    /// Whether there is nothing to play.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.dispatches.is_empty()
    }
}
