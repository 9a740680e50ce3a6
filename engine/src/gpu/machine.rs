//! What plays recordings: wgpu ([`super::WgpuMachine`]) or the plain-Rust twins ([`super::TwinMachine`]).

use super::recording::{Buffer, Recording};
use crate::Result;
pub use crate::runner::{Counts, KernelTime};
use folio_shaders::{Kernel, Style};

/// What a machine can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one buffer that a kernel may see.
    pub binding_bytes: u64,
    /// Bytes of all buffers together, where it is known or set.
    pub memory_bytes: Option<u64>,
    /// Workgroups along one dimension.
    pub grid: u32,
}

/// A range of a buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The buffer.
    pub buffer: Buffer,
    /// First byte; a multiple of 4.
    pub offset: u64,
    /// Number of bytes; a multiple of 4.
    pub bytes: u64,
}

/// Holds buffers and plays recordings.
pub trait Machine {
    /// A new buffer of `bytes`, whose content is undefined (poisoned when the machine is asked to).
    ///
    /// # Errors
    /// Out of memory, too large for one binding, a lost device.
    fn create(&mut self, label: &str, bytes: u64) -> Result<Buffer>;

    /// Frees a buffer.
    fn free(&mut self, buffer: Buffer);

    /// Compiles kernels before they are needed. `progress` hears the share that is done, 0 to 1.
    ///
    /// # Errors
    /// A kernel that the device refuses.
    fn prepare(&mut self, _kernels: &[&'static Kernel], _progress: &mut dyn FnMut(f32)) -> Result<()> {
        Ok(())
    }

    /// Puts bytes (a multiple of 4, at a multiple of 4) into a buffer now.
    ///
    /// # Errors
    /// A lost device.
    fn upload(&mut self, buffer: Buffer, offset: u64, data: &[u8]) -> Result<()>;

    /// Copies the first `bytes` of one buffer to another.
    ///
    /// # Errors
    /// A lost device.
    fn copy(&mut self, from: Buffer, to: Buffer, bytes: u64) -> Result<()>;

    /// Plays a recording with one submit, then reads `read` back.
    ///
    /// # Errors
    /// A lost device, or a launch that the device refuses.
    fn run(&mut self, recording: &Recording, read: Option<Slice>) -> impl Future<Output = Result<Vec<u8>>>;

    /// How kernels should reduce and share on this machine.
    fn style(&self) -> Style;

    /// What it can hold.
    fn limits(&self) -> Limits;

    /// What it has done.
    fn counts(&self) -> Counts;

    /// Time of every kernel so far, the slowest first, where it is measured.
    fn kernel_times(&self) -> Vec<KernelTime> {
        Vec::new()
    }

    /// The device in words.
    fn name(&self) -> String;

    /// A machine of the same kind on a fresh device, with no buffers: after the device was lost.
    ///
    /// # Errors
    /// No device can be had.
    fn renew(&mut self) -> impl Future<Output = Result<()>>;
}
