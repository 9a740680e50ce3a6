//! Opening a checkpoint on a backend of burn.

use super::super::fused::Fused;
use super::super::vist2::Vist2;
use super::BurnRunner;
use crate::Result;
use crate::checkpoint::{Checkpoint, tensors};
use crate::config::Config;
#[cfg(feature = "flex")]
use crate::runner::Runner;
use std::path::Path;

/// Opens the checkpoint in `dir` on `device`, which is `name` in words. `progress` hears the share of parameters read,
/// 0 to 1.
///
/// # Errors
/// Whatever is wrong with the files: see [`Checkpoint`].
pub fn open<B: Fused>(
    dir: &Path,
    config: &Config,
    device: B::Device,
    name: &str,
    progress: &mut dyn FnMut(f32),
) -> Result<BurnRunner<B>> {
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let total: usize = tensors(config).iter().map(|s| s.shape.iter().product::<usize>()).sum();
    let mut done = 0;
    let model = Vist2::<B>::build(
        config,
        &mut |spec| {
            let values = checkpoint.read_f32(spec)?;
            done += values.len();
            progress(done as f32 / total.max(1) as f32);
            Ok(values)
        },
        &device,
    )?;
    Ok(BurnRunner::new(model, device, name))
}

/// Opens the checkpoint in `dir` on the CPU. `progress` hears the share of parameters read, 0 to 1.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "flex")]
pub fn load_cpu(dir: &Path, config: &Config, progress: &mut dyn FnMut(f32)) -> Result<Box<dyn Runner>> {
    let runner = open::<burn_flex::Flex>(dir, config, Default::default(), "cpu (flex)", progress)?;
    Ok(Box::new(runner))
}
