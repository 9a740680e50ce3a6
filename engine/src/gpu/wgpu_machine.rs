//! Plays recordings on a GPU through wgpu: one compute pass and one submit each.

use super::adapter::{self, AdapterReport};
use super::arena::Arena;
use super::machine::{Counts, KernelTime, Limits, Machine, Slice};
use super::pipelines::Pipelines;
use super::profile::Profile;
use super::recording::{Buffer, Recording};
use super::twin::POISON;
#[cfg(not(target_family = "wasm"))]
use crate::Wait;
use crate::{Error, Result};
use folio_shaders::{Kernel, Style};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How a GPU is used.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Take an adapter that is a CPU, too.
    pub allow_software: bool,
    /// How kernels reduce; `None` chooses by adapter.
    pub style: Option<Style>,
    /// Let the shader compiler check every access (for tests: it costs speed).
    pub checked: bool,
    /// Fill fresh buffers with a value that shows (for tests).
    pub poison: bool,
    /// Time every kernel: one pass each, so slower.
    pub profile: bool,
    /// Bytes that all buffers together may take.
    pub memory_bytes: Option<u64>,
    /// What a browser says of its adapter, and wgpu does not pass on: its name, and whether it is a CPU.
    pub told: Option<(String, bool)>,
}

#[derive(Debug, Clone)]
enum Fault {
    Lost(String),
    /// Out of memory.
    Full(String),
    Refused(String),
}

/// A GPU device with its buffers and pipelines.
#[derive(Debug)]
pub struct WgpuMachine {
    options: GpuOptions,
    report: AdapterReport,
    device: wgpu::Device,
    queue: wgpu::Queue,
    fault: Arc<Mutex<Option<Fault>>>,
    pipelines: Pipelines,
    buffers: HashMap<u32, wgpu::Buffer>,
    next: u32,
    arena: Arena,
    staging: Option<wgpu::Buffer>,
    style: Style,
    counts: Counts,
    profile: Option<Profile>,
}

impl WgpuMachine {
    /// Opens the best adapter.
    ///
    /// # Errors
    /// No adapter, one below the floor, or a driver that gives no device.
    pub async fn open(options: GpuOptions) -> Result<Self> {
        let instance = instance();
        let adapter = adapter::best(&instance, options.allow_software).await?;
        Self::on(&adapter, options).await
    }

    /// Every adapter of this computer.
    pub async fn adapters() -> Vec<AdapterReport> {
        let instance = instance();
        adapter::all(&instance).await.iter().map(adapter::report).collect()
    }

    /// A machine on the `index`-th of [`Self::adapters`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_at(index: usize, options: GpuOptions) -> Result<Self> {
        let instance = instance();
        match adapter::all(&instance).await.get(index) {
            Some(adapter) => Self::on(adapter, options).await,
            None => Err(Error::Gpu(format!("there is no GPU number {index}"))),
        }
    }

    async fn on(adapter: &wgpu::Adapter, options: GpuOptions) -> Result<Self> {
        let mut report = adapter::report(adapter);
        if let Some((name, software)) = &options.told {
            (report.name, report.software) = (name.clone(), *software);
        }
        if let Some(what) = &report.lacks {
            return Err(Error::GpuBelowFloor(format!("{} has {what}", report.name)));
        }
        let mut wanted = wgpu::Features::SUBGROUP;
        if options.profile {
            wanted |= wgpu::Features::TIMESTAMP_QUERY;
        }
        let features = adapter.features() & wanted;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("folio"),
                required_features: features,
                required_limits: adapter.limits(),
                memory_hints: wgpu::MemoryHints::Performance,
                ..Default::default()
            })
            .await
            .map_err(|e| Error::NoGpu(format!("{} gives no device: {e}", report.name)))?;
        let fault = Arc::new(Mutex::new(None));
        let at = fault.clone();
        device.set_device_lost_callback(move |reason, what| {
            let what = if what.is_empty() { format!("{reason:?}") } else { what };
            *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fault::Lost(what));
        });
        let at = fault.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            let mut fault = at.lock().unwrap_or_else(PoisonError::into_inner);
            let what = one_line(&e.to_string());
            let fresh = match e {
                wgpu::Error::OutOfMemory { .. } => Fault::Full(what),
                _ => Fault::Refused(what),
            };
            // What follows the first is its consequence.
            fault.get_or_insert(fresh);
        }));
        let style = options.style.unwrap_or(if report.software {
            if report.subgroups {
                Style::Broadcast
            } else {
                Style::Serial
            }
        } else if features.contains(wgpu::Features::SUBGROUP) {
            Style::Subgroup
        } else {
            Style::Plain
        });
        if style.subgroups() && !features.contains(wgpu::Features::SUBGROUP) {
            return Err(Error::Gpu(format!("{} has no subgroups", report.name)));
        }
        if options.profile && !features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            let what = format!("{} has no timestamps: its kernels cannot be timed", report.name);
            return Err(Error::Gpu(what));
        }
        let profile = options.profile.then(|| Profile::new(&device, &queue));
        Ok(Self {
            arena: Arena::new(&device),
            options,
            report,
            device,
            queue,
            fault,
            pipelines: Pipelines::default(),
            buffers: HashMap::new(),
            next: 0,
            staging: None,
            style,
            counts: Counts::default(),
            profile,
        })
    }

    /// The adapter.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// Destroys the device as a driver reset would: for tests of recovery.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// [`Self::lose`] for later, when a runner has the machine.
    pub fn loss(&self) -> impl Fn() + 'static {
        let device = self.device.clone();
        move || device.destroy()
    }

    fn healthy(&self) -> Result<()> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(Fault::Lost(what)) => Err(Error::DeviceLost(what.clone())),
            Some(Fault::Full(what)) => Err(Error::GpuTooSmall(format!(
                "{} has no room left, it holds {} MiB of Folio's ({what}): ask for a shorter text, or use a smaller or \
                 quantised model",
                self.report.name,
                self.counts.buffer_bytes >> 20
            ))),
            Some(Fault::Refused(what)) => Err(Error::Gpu(format!("{} refuses: {what}", self.report.name))),
        }
    }

    fn buffer(&self, buffer: Buffer) -> Result<&wgpu::Buffer> {
        self.buffers
            .get(&buffer.0)
            .ok_or_else(|| Error::Gpu("a buffer is used that does not exist".into()))
    }

    fn staging(&mut self, bytes: u64) -> &wgpu::Buffer {
        let device = &self.device;
        let staging = self.staging.take().filter(|buffer| buffer.size() >= bytes);
        self.staging.insert(staging.unwrap_or_else(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes.next_power_of_two().max(256),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        }))
    }

    fn encode(&mut self, recording: &Recording) -> Result<wgpu::CommandEncoder> {
        for write in &recording.writes {
            self.queue
                .write_buffer(self.buffer(write.buffer)?, write.offset, &write.data);
        }
        for dispatch in &recording.dispatches {
            let most = self.limits().grid;
            if dispatch.grid.iter().any(|&n| n > most) {
                return Err(Error::Gpu(format!(
                    "{} would need {:?} workgroups, this GPU allows {most} along a dimension",
                    dispatch.call.kernel.label, dispatch.grid
                )));
            }
            self.pipelines
                .prepare(&self.device, dispatch.call.kernel, self.options.checked);
        }
        let (offsets, grown) = self.arena.fill(
            &self.device,
            &self.queue,
            recording.dispatches.iter().map(|d| d.call.params.as_slice()),
        );
        if grown {
            self.pipelines.forget_all();
        }
        let mut encoder = self.device.create_command_encoder(&Default::default());
        if let Some(profile) = &mut self.profile {
            profile.begin(recording.dispatches.len());
        }
        let mut pass = None;
        for (i, (dispatch, offset)) in recording.dispatches.iter().zip(offsets).enumerate() {
            if pass.is_none() || self.profile.is_some() {
                drop(pass.take());
                let descriptor = wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: self.profile.as_ref().and_then(|profile| profile.writes(i)),
                };
                pass = Some(encoder.begin_compute_pass(&descriptor).forget_lifetime());
            }
            let Some(pass) = &mut pass else { continue };
            let (pipeline, group) = self
                .pipelines
                .get(&self.device, &dispatch.call, &self.buffers, self.arena.buffer())
                .ok_or_else(|| Error::Gpu("a buffer is used that does not exist".into()))?;
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[offset]);
            let [x, y, z] = dispatch.grid;
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        if let Some(profile) = &self.profile {
            profile.resolve(&mut encoder, recording.dispatches.len());
        }
        self.counts.dispatches += recording.dispatches.len() as u64;
        Ok(encoder)
    }
}

impl Drop for WgpuMachine {
    fn drop(&mut self) {
        // A browser would keep the memory until its garbage collector comes.
        self.buffers.values().for_each(wgpu::Buffer::destroy);
        self.device.destroy();
    }
}

impl Machine for WgpuMachine {
    fn create(&mut self, label: &str, bytes: u64) -> Result<Buffer> {
        self.healthy()?;
        let bytes = bytes.div_ceil(16) * 16;
        let most = self.limits().binding_bytes;
        if bytes > most {
            return Err(Error::GpuTooSmall(format!(
                "{label} needs {bytes} bytes in one piece, {} lets a kernel see {most}",
                self.report.name
            )));
        }
        // A browser would tell what a scope caught only after a turn of the event loop. There, the fault handler hears of
        // it and the next call that waits returns it.
        #[cfg(not(target_family = "wasm"))]
        let scopes = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation]
            .map(|filter| self.device.push_error_scope(filter));
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        #[cfg(not(target_family = "wasm"))]
        if let Some(e) = scopes.into_iter().rev().find_map(|scope| scope.pop().wait()) {
            let held = self.counts.buffer_bytes >> 20;
            return Err(Error::GpuTooSmall(format!(
                "the GPU has no room for {label} ({} MiB; it holds {held} MiB of Folio's already): {}. Ask for a shorter \
                 text, or use a smaller or quantised model",
                bytes >> 20,
                one_line(&e.to_string())
            )));
        }
        if self.options.poison {
            let words = vec![POISON; (bytes / 4) as usize];
            self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
        }
        let id = Buffer(self.next);
        self.next += 1;
        self.buffers.insert(id.0, buffer);
        self.counts.buffers += 1;
        self.counts.buffer_bytes += bytes;
        Ok(id)
    }

    fn free(&mut self, buffer: Buffer) {
        self.pipelines.forget(buffer);
        if let Some(buffer) = self.buffers.remove(&buffer.0) {
            self.counts.buffers -= 1;
            self.counts.buffer_bytes -= buffer.size();
            buffer.destroy();
        }
    }

    fn prepare(&mut self, kernels: &[&'static Kernel], progress: &mut dyn FnMut(f32)) -> Result<()> {
        for (i, kernel) in kernels.iter().enumerate() {
            self.pipelines.prepare(&self.device, kernel, self.options.checked);
            progress((i + 1) as f32 / kernels.len() as f32);
        }
        self.healthy()
    }

    fn upload(&mut self, buffer: Buffer, offset: u64, data: &[u8]) -> Result<()> {
        self.queue.write_buffer(self.buffer(buffer)?, offset, data);
        // What is written waits in host memory until a submit, and until that is done.
        self.queue.submit([]);
        #[cfg(not(target_family = "wasm"))]
        self.device.poll(wgpu::PollType::Poll).ok();
        self.healthy()
    }

    fn copy(&mut self, from: Buffer, to: Buffer, bytes: u64) -> Result<()> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(self.buffer(from)?, 0, self.buffer(to)?, 0, bytes);
        self.queue.submit([encoder.finish()]);
        self.healthy()
    }

    async fn run(&mut self, recording: &Recording, read: Option<Slice>) -> Result<Vec<u8>> {
        self.healthy()?;
        let mut encoder = self.encode(recording)?;
        let Some(slice) = read else {
            self.queue.submit([encoder.finish()]);
            self.counts.submits += 1;
            if let Some(profile) = &mut self.profile {
                profile.read(&self.device, recording);
            }
            return self.healthy().map(|()| Vec::new());
        };
        self.staging(slice.bytes);
        let source = self.buffer(slice.buffer)?;
        let Some(staging) = &self.staging else {
            return Ok(Vec::new());
        };
        encoder.copy_buffer_to_buffer(source, slice.offset, staging, 0, slice.bytes);
        self.queue.submit([encoder.finish()]);
        self.counts.submits += 1;
        self.counts.readback_bytes += slice.bytes;
        let (answer, answered) = super::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, ..slice.bytes, move |result| answer.send(result));
        #[cfg(not(target_family = "wasm"))]
        if let Err(e) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.healthy()?;
            return Err(Error::DeviceLost(e.to_string()));
        }
        let result = answered.await;
        self.healthy()?;
        if !matches!(result, Some(Ok(()))) {
            return Err(Error::DeviceLost("its memory cannot be read".into()));
        }
        let bytes = staging.get_mapped_range(..slice.bytes).to_vec();
        staging.unmap();
        if let Some(profile) = &mut self.profile {
            profile.read(&self.device, recording);
        }
        Ok(bytes)
    }

    fn style(&self) -> Style {
        self.style
    }

    fn limits(&self) -> Limits {
        adapter::limits(&self.device, self.options.memory_bytes)
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn kernel_times(&self) -> Vec<KernelTime> {
        self.profile.as_ref().map(Profile::times).unwrap_or_default()
    }

    fn name(&self) -> String {
        format!("gpu ({}, {})", self.report.name, self.report.backend)
    }

    async fn renew(&mut self) -> Result<()> {
        // The same adapter again, where it is still there. A browser offers no list.
        let instance = instance();
        let adapters = adapter::all(&instance).await;
        let same = adapters.iter().find(|adapter| adapter::report(adapter) == self.report);
        let fresh = match same {
            Some(adapter) => Self::on(adapter, self.options.clone()).await?,
            None => Self::open(self.options.clone()).await?,
        };
        let counts = self.counts;
        *self = fresh;
        self.counts.dispatches = counts.dispatches;
        self.counts.submits = counts.submits;
        self.counts.readback_bytes = counts.readback_bytes;
        Ok(())
    }
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
