//! Writing safetensors: one tensor in memory at a time, files that appear whole or not at all.

use super::stored::first;
use super::{AtomicFile, INDEX, SINGLE, TensorSpec};
use crate::{Error, Result};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

/// Storage type of the weights in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// bfloat16.
    Bf16,
}

impl Dtype {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Most bytes of tensors in one file.
const SHARD_BYTES: u64 = 4 << 30;

/// Writes `specs` to `dir` (sharded above 4 GiB), taking each tensor's values from `values` one at a time; files appear
/// whole or not at all. The folder is made if it is not there.
///
/// # Errors
/// A file cannot be written, `values` fails, or gives a wrong number of values or one that the type cannot hold.
pub fn write(
    dir: &Path,
    specs: &[TensorSpec],
    dtype: Dtype,
    values: &mut dyn FnMut(&TensorSpec) -> Result<Vec<f32>>,
) -> Result<()> {
    write_shards(dir, specs, dtype, SHARD_BYTES, values)
}

/// As [`write`], with at most `max_bytes` of tensors in one file (or one tensor, if that alone is larger).
///
/// # Errors
/// As [`write`].
pub fn write_shards(
    dir: &Path,
    specs: &[TensorSpec],
    dtype: Dtype,
    max_bytes: u64,
    values: &mut dyn FnMut(&TensorSpec) -> Result<Vec<f32>>,
) -> Result<()> {
    let made = !dir.exists();
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let result = write_files(dir, specs, dtype, max_bytes, values);
    if made && result.is_err() {
        // Only succeeds on a folder that is still empty.
        let _ = std::fs::remove_dir(dir);
    }
    result
}

fn write_files(
    dir: &Path,
    specs: &[TensorSpec],
    dtype: Dtype,
    max_bytes: u64,
    values: &mut dyn FnMut(&TensorSpec) -> Result<Vec<f32>>,
) -> Result<()> {
    let shards = plan(specs, dtype, max_bytes);
    let name = |i: usize| match shards.len() {
        1 => SINGLE.to_owned(),
        n => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
    };
    // Everything lies on the disk under temporary names before the first file takes its place.
    let mut files = Vec::new();
    for (i, shard) in shards.iter().enumerate() {
        let mut file = AtomicFile::create(&dir.join(name(i)))?;
        file.write(&header(&specs[shard.clone()], dtype)?)?;
        for spec in &specs[shard.clone()] {
            write_tensor(&mut file, spec, dtype, &values(spec)?)?;
        }
        file.sync()?;
        files.push(file);
    }
    if shards.len() > 1 {
        let mut index = AtomicFile::create(&dir.join(INDEX))?;
        index.write(index_json(specs, &shards, dtype, &name).as_bytes())?;
        files.push(index);
    }
    for file in files {
        file.commit()?;
    }
    // The other layout's file, if an older checkpoint stood here, would now contradict this one.
    let stale = dir.join(if shards.len() > 1 { SINGLE } else { INDEX });
    match std::fs::remove_file(&stale) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", stale, e)),
        _ => Ok(()),
    }
}

fn bytes_of(spec: &TensorSpec, dtype: Dtype) -> u64 {
    spec.elements() as u64 * dtype.bytes() as u64
}

/// Which tensors go into which file; at least one file.
fn plan(specs: &[TensorSpec], dtype: Dtype, max_bytes: u64) -> Vec<Range<usize>> {
    let (mut shards, mut start, mut size) = (Vec::new(), 0, 0u64);
    for (i, spec) in specs.iter().enumerate() {
        let bytes = bytes_of(spec, dtype);
        if i > start && size + bytes > max_bytes {
            shards.push(start..i);
            (start, size) = (i, 0);
        }
        size += bytes;
    }
    shards.push(start..specs.len());
    shards
}

fn header(specs: &[TensorSpec], dtype: Dtype) -> Result<Vec<u8>> {
    let stored = match dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
    };
    let mut offset = 0;
    let infos = specs.iter().map(|spec| {
        let start = offset;
        offset += spec.elements() * dtype.bytes();
        (
            spec.name.clone(),
            TensorInfo {
                dtype: stored,
                shape: spec.shape.clone(),
                data_offsets: (start, offset),
            },
        )
    });
    // "format" is what Hugging Face's loaders ask for.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let json = Metadata::new(Some(format), infos.collect())
        .map_err(|e| e.to_string())
        .and_then(|metadata| serde_json::to_string(&metadata).map_err(|e| e.to_string()))
        .map_err(|e| Error::Argument(format!("the tensors cannot be described as safetensors: {e}")))?;
    // Padded with spaces so that the data after it is aligned.
    let length = json.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(8 + length, b' ');
    Ok(bytes)
}

fn write_tensor(file: &mut AtomicFile, spec: &TensorSpec, dtype: Dtype, values: &[f32]) -> Result<()> {
    if values.len() != spec.elements() {
        let what = format!(
            "tensor {} has {} values for shape {:?}",
            spec.name,
            values.len(),
            spec.shape
        );
        return Err(Error::Argument(what));
    }
    if let Some((at, value)) = first(values, |v| !v.is_finite()) {
        let what = format!("tensor {} holds {value} at value {at}", spec.name);
        return Err(Error::NotFinite(what));
    }
    match dtype {
        Dtype::F32 => file.write(bytemuck::cast_slice(values)),
        Dtype::F16 => {
            let mut narrow = vec![f16::ZERO; values.len()];
            narrow.convert_from_f32_slice(values);
            match narrow.iter().position(|value| !value.is_finite()) {
                None => file.write(bytemuck::cast_slice(&narrow)),
                Some(at) => Err(too_large(spec, values[at], "f16")),
            }
        }
        Dtype::Bf16 => {
            let mut narrow = vec![bf16::ZERO; values.len()];
            narrow.convert_from_f32_slice(values);
            match narrow.iter().position(|value| !value.is_finite()) {
                None => file.write(bytemuck::cast_slice(&narrow)),
                Some(at) => Err(too_large(spec, values[at], "bf16")),
            }
        }
    }
}

fn too_large(spec: &TensorSpec, value: f32, dtype: &str) -> Error {
    Error::Argument(format!(
        "tensor {} holds {value}, which {dtype} cannot: write it as f32",
        spec.name
    ))
}

fn index_json(specs: &[TensorSpec], shards: &[Range<usize>], dtype: Dtype, name: &dyn Fn(usize) -> String) -> String {
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        for spec in &specs[shard.clone()] {
            map.insert(spec.name.as_str(), name(i));
        }
    }
    let total: u64 = specs.iter().map(|spec| bytes_of(spec, dtype)).sum();
    format!(
        "{:#}\n",
        json!({ "metadata": { "total_size": total }, "weight_map": map })
    )
}
