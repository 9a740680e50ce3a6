//! Random checkpoints of a preset's shape.

use anyhow::{Context, Result};
use folio_engine::checkpoint::{Dtype, init_tensor, tensors, write};
use folio_engine::config::{PRESETS, preset};
use std::path::{Path, PathBuf};

/// The folder of a random checkpoint of preset `name` under `dir`; written (bf16) unless it is there already.
///
/// # Errors
/// An unknown preset, a folder that cannot be written.
pub fn ensure(dir: &Path, name: &str) -> Result<PathBuf> {
    let config = preset(name).with_context(|| format!("no preset {name:?}: there are {}", PRESETS.join(", ")))?;
    let model = dir.join(name);
    if model.join("config.json").exists() {
        return Ok(model);
    }
    eprintln!("writing a random checkpoint of {name} to {}", model.display());
    std::fs::create_dir_all(&model).with_context(|| format!("cannot make {}", model.display()))?;
    write(&model, &tensors(&config), Dtype::Bf16, &mut |spec| {
        Ok(init_tensor(&config, spec, 1))
    })?;
    // Last: a folder with a config.json is complete.
    let path = model.join("config.json");
    std::fs::write(&path, config.to_json()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(model)
}
