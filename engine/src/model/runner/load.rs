//! Opening a checkpoint on the CPU.

use super::super::vist2::Vist2;
use super::BurnRunner;
use crate::Result;
use crate::checkpoint::{Checkpoint, tensors};
use crate::config::Config;
use crate::runner::Runner;
use std::path::Path;

/// Opens the checkpoint in `dir` on the CPU. `progress` hears the share of parameters read, 0 to 1.
///
/// # Errors
/// Whatever is wrong with the files: see [`Checkpoint`].
pub fn load_cpu(dir: &Path, config: &Config, progress: &mut dyn FnMut(f32)) -> Result<Box<dyn Runner>> {
    let checkpoint = Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let total: usize = tensors(config).iter().map(|s| s.shape.iter().product::<usize>()).sum();
    let mut done = 0;
    let device = Default::default();
    let model = Vist2::<burn_flex::Flex>::build(
        config,
        &mut |spec| {
            let values = checkpoint.read_f32(spec)?;
            done += values.len();
            progress(done as f32 / total.max(1) as f32);
            Ok(values)
        },
        &device,
    )?;
    Ok(Box::new(BurnRunner::new(model, device, "cpu (flex)")))
}
