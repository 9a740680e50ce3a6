//! Writing safetensors: files that appear whole or not at all, with no more in memory than the caller hands over.

use super::encode::TensorWriter;
use super::{AtomicFile, INDEX, SINGLE, StoredType, TensorSpec, layout};
use crate::{Error, Result};
use std::path::Path;

/// A float type for all weights of a folder.
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
        StoredType::from(self).block().1
    }
}

impl From<Dtype> for StoredType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::BF16,
        }
    }
}

/// Most bytes of tensors in one file.
pub(super) const SHARD_BYTES: u64 = 4 << 30;

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
    write_stored(dir, specs, dtype.into(), max_bytes, &mut |spec, to| {
        to.push(&values(spec)?)
    })
}

/// As [`write_shards`], in a folder of type `stored` (which tensor gets which type then, [`StoredType::of`] says), and
/// `fill` pushes each tensor's values in pieces of its choice. Tensors come in the order of the file, not of `specs`.
///
/// # Errors
/// As [`write`].
pub fn write_stored(
    dir: &Path,
    specs: &[TensorSpec],
    stored: StoredType,
    max_bytes: u64,
    fill: &mut dyn FnMut(&TensorSpec, &mut TensorWriter<'_>) -> Result<()>,
) -> Result<()> {
    let made = !dir.exists();
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let result = layout::plan(specs, stored, max_bytes).and_then(|shards| write_files(dir, &shards, fill));
    if made && result.is_err() {
        // Only succeeds on a folder that is still empty.
        let _ = std::fs::remove_dir(dir);
    }
    result
}

fn write_files(
    dir: &Path,
    shards: &[layout::Shard<'_>],
    fill: &mut dyn FnMut(&TensorSpec, &mut TensorWriter<'_>) -> Result<()>,
) -> Result<()> {
    let name = |i: usize| match shards.len() {
        1 => SINGLE.to_owned(),
        n => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
    };
    // Everything lies on the disk under temporary names before the first file takes its place.
    let mut files = Vec::new();
    for (i, shard) in shards.iter().enumerate() {
        let mut file = AtomicFile::create(&dir.join(name(i)))?;
        file.write(&layout::header(shard)?)?;
        for place in shard {
            let mut writer = TensorWriter::new(&mut file, place.spec, place.stored);
            fill(place.spec, &mut writer)?;
            writer.finish()?;
        }
        file.sync()?;
        files.push(file);
    }
    if shards.len() > 1 {
        let mut index = AtomicFile::create(&dir.join(INDEX))?;
        index.write(layout::index(shards, &name).as_bytes())?;
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
