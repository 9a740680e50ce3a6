//! The same checkpoint in our runtime and as a burn graph on wgpu.

use anyhow::{Result, ensure};
use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::{RuntimeOptions, WgpuDevice, init_setup};
use folio_engine::Wait;
use folio_engine::config::Config;
use folio_engine::gpu::{AdapterReport, GpuOptions, GpuRunner, Style, WgpuMachine, load_gpu};
use folio_engine::model::{BurnWgpu, BurnWgpuFusion, BurnWgpuPlain, Fused, open};
use folio_engine::runner::{DrawRequest, Logits, Runner, Want};
use std::path::Path;

/// Which way burn runs its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Burn {
    /// One by one.
    Plain,
    /// With burn's fusion of neighbouring operations.
    Fusion,
    /// One by one, with our kernels for attention and folding.
    Kernels,
}

/// burn with our kernels: no baseline.
pub(crate) const WITH_KERNELS: &str = "burn-wgpu, our kernels";

/// A runner in the contest.
pub(crate) struct Runtime {
    /// Short, for tables.
    pub(crate) name: &'static str,
    pub(crate) runner: Box<dyn Runner>,
    /// Tokens of a prompt that it takes at once.
    block: usize,
}

/// Our runner on the best adapter, a software one too.
///
/// # Errors
/// No adapter, or a checkpoint that cannot be opened.
pub(crate) fn ours(
    model: &Path,
    config: &Config,
    style: Option<Style>,
    profile: bool,
) -> Result<GpuRunner<WgpuMachine>> {
    let options = GpuOptions {
        allow_software: true,
        style,
        profile,
        ..Default::default()
    };
    Ok(load_gpu(model, config, options, 1024, &mut |_, _| {})?)
}

/// The device that burn has the same adapter as.
///
/// # Errors
/// burn takes another adapter.
pub(crate) fn burn_device(adapter: &AdapterReport) -> Result<WgpuDevice> {
    let device = if adapter.software {
        WgpuDevice::Cpu
    } else {
        WgpuDevice::DefaultDevice
    };
    let setup = init_setup::<AutoGraphicsApi>(&device, RuntimeOptions::default());
    let name = setup.adapter.get_info().name;
    ensure!(
        adapter.name.starts_with(&name),
        "burn takes the adapter {name}, not {}: leave only one driver, by VK_ICD_FILENAMES",
        adapter.name
    );
    Ok(device)
}

impl Runtime {
    pub(crate) fn ours(runner: GpuRunner<WgpuMachine>) -> Self {
        Self {
            name: "folio",
            runner: Box::new(runner),
            block: usize::MAX,
        }
    }

    /// # Errors
    /// A checkpoint that cannot be opened.
    pub(crate) fn burn(kind: Burn, model: &Path, config: &Config, device: &WgpuDevice) -> Result<Self> {
        match kind {
            Burn::Plain => Self::open::<BurnWgpuPlain>("burn-wgpu", model, config, device),
            Burn::Fusion => Self::open::<BurnWgpuFusion>("burn-wgpu, fusion", model, config, device),
            Burn::Kernels => Self::open::<BurnWgpu>(WITH_KERNELS, model, config, device),
        }
    }

    fn open<B: Fused<Device = WgpuDevice>>(
        name: &'static str,
        model: &Path,
        config: &Config,
        device: &WgpuDevice,
    ) -> Result<Self> {
        Ok(Self {
            name,
            runner: Box::new(open::<B>(model, config, device.clone(), name, &mut |_| {})?),
            // What its runner takes at once; joining the memory after each keeps its open buffer small.
            block: 256,
        })
    }

    /// Starts anew with BOS.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.runner.reset();
        let bos = self.runner.config().bos_token_id;
        self.runner.extend(&[bos], Want::Nothing).wait()?;
        self.runner.keep_open();
        Ok(())
    }

    /// Reads a prompt up to the logits of its last token.
    pub(crate) fn read(&mut self, ids: &[u32]) -> Result<Logits> {
        let mut logits = Logits::default();
        for (i, block) in ids.chunks(self.block.min(ids.len())).enumerate() {
            let last = (i + 1) * self.block.min(ids.len()) >= ids.len();
            logits = self
                .runner
                .extend(block, if last { Want::Last } else { Want::Nothing })
                .wait()?;
            self.runner.keep_open();
        }
        Ok(logits)
    }

    /// Writes one token after `id`: the likeliest.
    pub(crate) fn step(&mut self, id: u32) -> Result<u32> {
        let logits = self.runner.extend(&[id], Want::Kept).wait()?;
        if let Some(drawn) = self.runner.draw(&DrawRequest::greedy()).wait()? {
            return Ok(drawn.id);
        }
        let best = logits.last().iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(id, _)| id as u32))
    }
}
