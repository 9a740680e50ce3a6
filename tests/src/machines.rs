//! A machine around another that lies about its limits, loses its device or falsifies what it computed.

use folio_engine::gpu::{Buffer, Counts, Limits, Machine, Recording, Slice, Style, TwinMachine, WgpuMachine};
use folio_engine::{Error, Result};
use folio_shaders::Kernel;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong, and what has happened so far.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Bytes of a binding, instead of what the machine has.
    pub binding_bytes: Option<u64>,
    /// Bytes of memory, instead of what the machine has.
    pub memory_bytes: Option<u64>,
    /// The device is lost when this many runs have been started in all.
    pub lose_before_run: BTreeSet<u64>,
    /// The device is lost again before every run, from this one on.
    pub lose_from_run: Option<u64>,
    /// What is read back is multiplied by this, as floats.
    pub falsify: Option<f32>,
    /// Runs started.
    pub runs: u64,
    /// Devices made anew.
    pub renewals: u64,
    /// Buffers made.
    pub created: u64,
}

/// Shared by a test and its machine.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Mutex<Faults>>);

impl Control {
    /// Starts with `faults`.
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(faults)))
    }

    /// The present state.
    pub fn state(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device that can be lost on purpose.
pub trait Lose {
    /// Loses it; says whether the machine itself will notice.
    fn lose(&mut self) -> bool;
}

impl Lose for WgpuMachine {
    fn lose(&mut self) -> bool {
        WgpuMachine::lose(self);
        true
    }
}

impl Lose for TwinMachine {
    fn lose(&mut self) -> bool {
        false
    }
}

/// A machine with faults.
#[derive(Debug)]
pub struct Faulty<M> {
    inner: M,
    control: Control,
    pretend_lost: bool,
}

impl<M> Faulty<M> {
    /// Around `inner`.
    pub fn new(inner: M, control: &Control) -> Self {
        Self {
            inner,
            control: control.clone(),
            pretend_lost: false,
        }
    }

    fn alive(&self) -> Result<()> {
        match self.pretend_lost {
            true => Err(Error::DeviceLost("as the test wants it".into())),
            false => Ok(()),
        }
    }
}

impl<M: Machine + Lose> Machine for Faulty<M> {
    fn create(&mut self, label: &str, bytes: u64) -> Result<Buffer> {
        self.alive()?;
        self.control.state().created += 1;
        self.inner.create(label, bytes)
    }

    fn free(&mut self, buffer: Buffer) {
        self.inner.free(buffer);
    }

    fn prepare(&mut self, kernels: &[&'static Kernel], progress: &mut dyn FnMut(f32)) -> Result<()> {
        self.alive()?;
        self.inner.prepare(kernels, progress)
    }

    fn upload(&mut self, buffer: Buffer, offset: u64, data: &[u8]) -> Result<()> {
        self.alive()?;
        self.inner.upload(buffer, offset, data)
    }

    fn copy(&mut self, from: Buffer, to: Buffer, bytes: u64) -> Result<()> {
        self.alive()?;
        self.inner.copy(from, to, bytes)
    }

    async fn run(&mut self, recording: &Recording, read: Option<Slice>) -> Result<Vec<u8>> {
        let (lose, falsify) = {
            let mut state = self.control.state();
            state.runs += 1;
            let run = state.runs;
            let lose = state.lose_before_run.remove(&run) || state.lose_from_run.is_some_and(|from| run >= from);
            (lose, state.falsify)
        };
        if lose && !self.inner.lose() {
            self.pretend_lost = true;
        }
        self.alive()?;
        let mut bytes = self.inner.run(recording, read).await?;
        if let Some(by) = falsify {
            for word in bytes.chunks_exact_mut(4) {
                let value = f32::from_le_bytes([word[0], word[1], word[2], word[3]]) * by;
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(bytes)
    }

    fn style(&self) -> Style {
        self.inner.style()
    }

    fn limits(&self) -> Limits {
        let (limits, state) = (self.inner.limits(), self.control.state());
        Limits {
            binding_bytes: state.binding_bytes.unwrap_or(limits.binding_bytes),
            memory_bytes: state.memory_bytes.or(limits.memory_bytes),
            ..limits
        }
    }

    fn counts(&self) -> Counts {
        self.inner.counts()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    async fn renew(&mut self) -> Result<()> {
        self.control.state().renewals += 1;
        self.pretend_lost = false;
        self.inner.renew().await
    }
}
