//! A GPU that keeps nothing: whatever is on the heap is the host's.

use folio_engine::Result;
use folio_engine::gpu::{Buffer, Counts, Limits, Machine, Recording, Slice, Style, TwinMachine};

const LIMITS: Limits = Limits {
    binding_bytes: 128 << 20,
    memory_bytes: None,
    grid: 65_535,
};

/// Names its buffers by another machine's, and counts what it is sent.
pub(crate) struct Forgetful {
    names: TwinMachine,
    bytes: u64,
    /// Bytes that were sent.
    pub(crate) uploaded: u64,
}

impl Forgetful {
    pub(crate) fn new() -> Self {
        Self {
            names: TwinMachine::new(Style::Plain, LIMITS),
            bytes: 0,
            uploaded: 0,
        }
    }
}

impl Machine for Forgetful {
    fn create(&mut self, label: &str, bytes: u64) -> Result<Buffer> {
        self.bytes += bytes;
        self.names.create(label, 16)
    }

    fn free(&mut self, buffer: Buffer) {
        self.names.free(buffer);
    }

    fn upload(&mut self, _buffer: Buffer, _offset: u64, data: &[u8]) -> Result<()> {
        self.uploaded += data.len() as u64;
        Ok(())
    }

    fn copy(&mut self, _from: Buffer, _to: Buffer, _bytes: u64) -> Result<()> {
        Ok(())
    }

    async fn run(&mut self, _recording: &Recording, read: Option<Slice>) -> Result<Vec<u8>> {
        Ok(vec![0; read.map_or(0, |slice| slice.bytes as usize)])
    }

    fn style(&self) -> Style {
        Style::Plain
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn counts(&self) -> Counts {
        Counts {
            buffer_bytes: self.bytes,
            ..self.names.counts()
        }
    }

    fn name(&self) -> String {
        "a GPU that forgets".into()
    }

    async fn renew(&mut self) -> Result<()> {
        Ok(())
    }
}
