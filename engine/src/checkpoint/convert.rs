//! A model folder stored in another type.

use super::read::Checkpoint;
use super::write::{SHARD_BYTES, write_stored};
use super::{AtomicFile, StoredType, TensorSpec, folder::NewFolder, tensors};
use crate::config::Config;
use crate::gguf::{Gguf, is_gguf};
use crate::text::{tokenizer_config, tokenizer_json};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

/// What a conversion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Bytes of the weights as they were stored.
    pub bytes_before: u64,
    /// Bytes of the weights as they are stored now.
    pub bytes_after: u64,
    /// How many tensors are of which type now.
    pub tensors: BTreeMap<StoredType, usize>,
}

/// Values that are converted in one go: what memory a conversion takes does not depend on the model's size.
const SLAB: usize = 1 << 20;

/// Endings of files that hold weights; they are not copied.
const WEIGHTS: [&str; 8] = ["safetensors", "bin", "pt", "pth", "gguf", "onnx", "h5", "msgpack"];

/// Writes the model of the folder `from` (plain or quantised) to the new folder `to`, its weights stored as `stored`; which
/// tensor gets which type then, [`StoredType::of`] says. `config.json` gets or loses its `quantization_config`; the
/// tokenizer and all other files of the folder itself are copied, but no other weights and no hidden files. `to` appears
/// whole or not at all. Of a GGUF file, configuration and tokenizer are written as a folder has them.
///
/// `go_on` hears the share of values written, 0 to 1; when it says no, nothing is left and the result is `None`.
///
/// # Errors
/// `from` is no whole and sound model, a value is too large for the type, `to` is there and not an empty folder, or a file
/// cannot be written.
pub fn convert(
    from: &Path,
    to: &Path,
    stored: StoredType,
    go_on: &mut dyn FnMut(f32) -> bool,
) -> Result<Option<Converted>> {
    let config = Config::load(from)?;
    let checkpoint = Checkpoint::open(from)?;
    checkpoint.check(&config)?;
    let specs = tensors(&config);

    let folder = NewFolder::create(to)?;
    let root = if is_gguf(from) {
        write_tokenizer(&Gguf::open(from)?, folder.path())?;
        config.to_json().into_bytes()
    } else {
        copy_others(from, folder.path())?;
        let path = from.join("config.json");
        std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?
    };
    let root = config_json(&root, from, stored)?;
    put(&folder.path().join("config.json"), root.as_bytes())?;

    let total: usize = specs.iter().map(TensorSpec::elements).sum();
    let (mut done, mut stopped) = (0, false);
    let written = write_stored(folder.path(), &specs, stored, SHARD_BYTES, &mut |spec, writer| {
        let slab = (SLAB / spec.columns().max(1)).max(1);
        for start in (0..spec.rows()).step_by(slab) {
            let values = checkpoint.read_rows(spec, start..spec.rows().min(start + slab))?;
            writer.push(&values)?;
            done += values.len();
            if !go_on(done as f32 / total.max(1) as f32) {
                stopped = true;
                return Err(Error::Argument("the conversion was stopped".into()));
            }
        }
        Ok(())
    });
    // The last of the work is on the disk's side: asked once more after it.
    if stopped || (written.is_ok() && !go_on(1.0)) {
        return Ok(None);
    }
    written?;

    let converted = Checkpoint::open(folder.path())?;
    let mut counts = BTreeMap::new();
    for spec in &specs {
        *counts.entry(converted.stored_type(spec)?).or_default() += 1;
    }
    folder.commit()?;
    Ok(Some(Converted {
        bytes_before: checkpoint.stored_bytes() as u64,
        bytes_after: converted.stored_bytes() as u64,
        tensors: counts,
    }))
}

/// The source's `config.json`, every key of it, with what is said there about how weights are stored brought up to date.
fn config_json(bytes: &[u8], from: &Path, stored: StoredType) -> Result<String> {
    let mut root: Value = serde_json::from_slice(bytes).map_err(|e| {
        Error::invalid(
            from.display().to_string(),
            format!("config.json is not valid JSON: {e}"),
        )
    })?;
    if let Some(root) = root.as_object_mut() {
        root.remove("quantization_config");
        let float = match stored {
            StoredType::F32 => Some("float32"),
            StoredType::F16 => Some("float16"),
            StoredType::BF16 => Some("bfloat16"),
            _ => {
                let method = json!({ "quant_method": stored.name() });
                root.insert("quantization_config".into(), method);
                None
            }
        };
        for key in ["dtype", "torch_dtype"] {
            if let (Some(value), Some(float)) = (root.get_mut(key), float) {
                *value = json!(float);
            }
        }
    }
    Ok(format!("{root:#}\n"))
}

/// The tokenizer of a GGUF file as the files of a folder.
fn write_tokenizer(gguf: &Gguf, to: &Path) -> Result<()> {
    put(&to.join("tokenizer.json"), &tokenizer_json(gguf)?)?;
    let config = format!("{:#}\n", tokenizer_config(gguf)?);
    put(&to.join("tokenizer_config.json"), config.as_bytes())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// Copies the files beside the weights.
fn copy_others(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from).map_err(|e| Error::io("read", from, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read", from, e))?.path();
        let name = path.file_name().unwrap_or_default();
        let shown = name.to_string_lossy();
        let weights = path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|e| WEIGHTS.contains(&e));
        let skipped = weights || shown.starts_with('.') || shown.ends_with(".index.json") || shown == "config.json";
        // Links are followed: a Hugging Face cache is made of them.
        if skipped || !path.is_file() {
            continue;
        }
        let copy = to.join(name);
        std::fs::copy(&path, &copy).map_err(|e| Error::io("copy", &path, e))?;
        let synced = std::fs::File::open(&copy).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::io("write", &copy, e))?;
    }
    Ok(())
}
