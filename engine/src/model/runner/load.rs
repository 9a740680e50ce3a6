//! Opening a checkpoint on a backend of burn.

use super::super::build::Values;
use super::super::fused::Fused;
use super::super::vist2::Vist2;
use super::BurnRunner;
#[cfg(feature = "flex")]
use super::KvType;
use crate::Result;
use crate::checkpoint::{Checkpoint, StoredType, TensorSpec, q5_0_as_q8_0, tensors, text_prefix};
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
    let mut checkpoint = Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let total: usize = tensors(config).iter().map(|s| s.shape.iter().product::<usize>()).sum();
    let mut done = 0;
    let model = Vist2::<B>::build_with(
        config,
        &mut |spec| {
            let values = if multiplies_text(spec, config) {
                as_stored::<B>(&checkpoint, spec)?
            } else {
                None
            };
            let values = match values {
                Some(values) => Ok(values),
                None => checkpoint.read_f32(spec).map(Values::F32),
            };
            checkpoint.release(spec);
            done += spec.elements();
            progress(done as f32 / total.max(1) as f32);
            values
        },
        &device,
    )?;
    Ok(BurnRunner::new(model, device, name))
}

/// Whether `spec` is a matrix of the decoder: those are most of a model's bytes, and all of a token's.
fn multiplies_text(spec: &TensorSpec, config: &Config) -> bool {
    spec.is_matrix() && spec.name.starts_with(text_prefix(config)) && !spec.name.starts_with("vision_tower.")
}

/// The values of a tensor as they are stored, if the backend multiplies by them so; `None` for another type.
fn as_stored<B: Fused>(checkpoint: &Checkpoint, spec: &TensorSpec) -> Result<Option<Values>> {
    let stored = checkpoint.stored_type(spec)?;
    // Blocks of q5_0 have the same values in those of q8_0.
    let held = if stored == StoredType::Q5_0 {
        StoredType::Q8_0
    } else {
        stored
    };
    if !B::takes_stored(held) {
        return Ok(None);
    }
    let bytes = checkpoint.stored_rows(spec, 0..spec.rows())?;
    let (bits, _) = bytes.as_chunks::<2>();
    let bits = bits.iter().map(|&b| u16::from_le_bytes(b));
    Ok(Some(match stored {
        StoredType::F16 => Values::F16(bits.map(half::f16::from_bits).collect()),
        StoredType::BF16 => Values::Bf16(bits.map(half::bf16::from_bits).collect()),
        _ => Values::Blocks {
            bytes: if stored == held {
                bytes.into_owned()
            } else {
                q5_0_as_q8_0(&bytes)
            },
            row: held.row_bytes(spec.columns()).unwrap_or(0),
        },
    }))
}

/// Opens the checkpoint in `dir` on the CPU. Matrices of the decoder that are stored in 16 bits, or in blocks of q8_0, q4_0
/// or q4_1, are held so: a token reads fewer bytes, and computes with the same values. `progress` hears the share of parameters
/// read, 0 to 1.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "flex")]
pub fn load_cpu(dir: &Path, config: &Config, progress: &mut dyn FnMut(f32)) -> Result<Box<dyn Runner>> {
    load_cpu_with(dir, config, KvType::F32, progress)
}

/// As [`load_cpu`], with keys and values of a type of choice.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "flex")]
pub fn load_cpu_with(
    dir: &Path,
    config: &Config,
    kv_type: KvType,
    progress: &mut dyn FnMut(f32),
) -> Result<Box<dyn Runner>> {
    let mut runner = open::<burn_flex::Flex>(dir, config, Default::default(), "cpu (flex)", progress)?;
    if kv_type != KvType::F32 {
        runner.kv_type = kv_type;
        runner.reset();
    }
    Ok(Box::new(runner))
}
