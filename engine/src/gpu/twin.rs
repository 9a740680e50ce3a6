//! Plays recordings on the plain-Rust twins of the kernels: the whole program without an adapter.

use super::machine::{Counts, Limits, Machine, Slice};
use super::recording::{Buffer, Recording};
use crate::{Error, Result};
use folio_shaders::twins::{self, Data};
use folio_shaders::{Access, Style};
use std::collections::HashMap;
use std::sync::Arc;

/// The value of words that nobody has written: as a float, −12345.
pub(super) const POISON: u32 = 0xc640_e400;

/// Buffers in memory, kernels in plain Rust.
#[derive(Debug)]
pub struct TwinMachine {
    buffers: HashMap<u32, Arc<Vec<u32>>>,
    next: u32,
    style: Style,
    limits: Limits,
    counts: Counts,
}

impl TwinMachine {
    /// A machine that says it prefers `style` and has these limits. Fresh buffers are poisoned.
    pub fn new(style: Style, limits: Limits) -> Self {
        Self {
            buffers: HashMap::new(),
            next: 0,
            style,
            limits,
            counts: Counts::default(),
        }
    }

    fn words(&self, buffer: Buffer) -> Result<&Arc<Vec<u32>>> {
        self.buffers.get(&buffer.0).ok_or_else(gone)
    }

    fn play(&mut self, recording: &Recording) -> Result<()> {
        for write in &recording.writes {
            self.upload(write.buffer, write.offset, &write.data)?;
        }
        for dispatch in &recording.dispatches {
            let call = &dispatch.call;
            // Buffers that are written are taken out, so that they are not shared; the others are only counted.
            let mut taken: Vec<Arc<Vec<u32>>> = Vec::new();
            for (binding, buffer) in call.kernel.bindings.iter().zip(&call.bindings) {
                taken.push(match binding.access {
                    Access::Read => self.words(*buffer)?.clone(),
                    Access::ReadWrite => self.buffers.remove(&buffer.0).ok_or_else(gone)?,
                });
            }
            let mut data: Vec<Data<'_>> = Vec::new();
            for (binding, words) in call.kernel.bindings.iter().zip(&mut taken) {
                data.push(match binding.access {
                    Access::Read => Data::Read(words),
                    Access::ReadWrite => Data::Write(Arc::<Vec<u32>>::make_mut(words).as_mut_slice()),
                });
            }
            let done = twins::run(call.kernel, &call.params, &mut data, dispatch.grid);
            drop(data);
            for ((binding, buffer), words) in call.kernel.bindings.iter().zip(&call.bindings).zip(taken) {
                if binding.access == Access::ReadWrite {
                    self.buffers.insert(buffer.0, words);
                }
            }
            done.map_err(|e| Error::Gpu(e.to_string()))?;
            self.counts.dispatches += 1;
        }
        self.counts.submits += 1;
        Ok(())
    }
}

fn gone() -> Error {
    Error::Gpu("a buffer is used that does not exist, or is both read and written by one kernel".into())
}

impl Machine for TwinMachine {
    fn create(&mut self, _label: &str, bytes: u64) -> Result<Buffer> {
        let buffer = Buffer(self.next);
        self.next += 1;
        let words = vec![POISON; bytes.div_ceil(4) as usize];
        self.counts.buffers += 1;
        self.counts.buffer_bytes += 4 * words.len() as u64;
        self.buffers.insert(buffer.0, Arc::new(words));
        Ok(buffer)
    }

    fn free(&mut self, buffer: Buffer) {
        if let Some(words) = self.buffers.remove(&buffer.0) {
            self.counts.buffers -= 1;
            self.counts.buffer_bytes -= 4 * words.len() as u64;
        }
    }

    fn upload(&mut self, buffer: Buffer, offset: u64, data: &[u8]) -> Result<()> {
        let words = Arc::make_mut(self.buffers.get_mut(&buffer.0).ok_or_else(gone)?);
        let start = offset as usize / 4;
        let words = words
            .get_mut(start..start + data.len() / 4)
            .ok_or_else(|| Error::Gpu("an upload goes past the end of its buffer".into()))?;
        for (word, bytes) in words.iter_mut().zip(data.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }

    fn copy(&mut self, from: Buffer, to: Buffer, bytes: u64) -> Result<()> {
        let source = self.words(from)?.clone();
        let words = Arc::make_mut(self.buffers.get_mut(&to.0).ok_or_else(gone)?);
        let n = bytes as usize / 4;
        words[..n].copy_from_slice(&source[..n]);
        Ok(())
    }

    async fn run(&mut self, recording: &Recording, read: Option<Slice>) -> Result<Vec<u8>> {
        self.play(recording)?;
        let Some(slice) = read else { return Ok(Vec::new()) };
        let start = slice.offset as usize / 4;
        let words = self.words(slice.buffer)?;
        let words = words
            .get(start..start + slice.bytes as usize / 4)
            .ok_or_else(|| Error::Gpu("a read goes past the end of its buffer".into()))?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.counts.readback_bytes += slice.bytes;
        Ok(bytes)
    }

    fn style(&self) -> Style {
        self.style
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn name(&self) -> String {
        "gpu (twins of the kernels in plain Rust)".into()
    }

    async fn renew(&mut self) -> Result<()> {
        self.buffers.clear();
        self.counts.buffers = 0;
        self.counts.buffer_bytes = 0;
        Ok(())
    }
}
