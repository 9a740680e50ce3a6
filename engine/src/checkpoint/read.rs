//! Reading safetensors, single or sharded.

use super::header::{self, Entry, one_line};
use super::{INDEX, SINGLE, TensorSpec, tensors, text_prefix};
use crate::{Error, Result, config::Config};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::Dtype;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// An opened checkpoint: memory-mapped files, nothing read until asked for.
#[derive(Debug)]
pub struct Checkpoint {
    place: String,
    files: Vec<Source>,
    tensors: HashMap<String, Entry>,
}

#[derive(Debug)]
enum Source {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Checkpoint {
    /// Opens `model.safetensors` or the shards of `model.safetensors.index.json` in `dir`.
    ///
    /// # Errors
    /// No such files, or files that are truncated, damaged, or disagree with their index.
    pub fn open(dir: &Path) -> Result<Self> {
        let index = dir.join(INDEX);
        if !dir.join(SINGLE).exists() && index.exists() {
            return Self::open_shards(dir, &index);
        }
        let mut checkpoint = Self::empty(dir.join(SINGLE).display().to_string());
        checkpoint.add_file(&dir.join(SINGLE))?;
        Ok(checkpoint)
    }

    /// A checkpoint from the bytes of one safetensors file; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: Vec<u8>, place: &str) -> Result<Self> {
        let mut checkpoint = Self::empty(place.to_owned());
        checkpoint.add(Source::Owned(bytes), place)?;
        Ok(checkpoint)
    }

    /// Names of all tensors in the files, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Bytes of all tensors as stored.
    pub fn stored_bytes(&self) -> usize {
        self.tensors.values().map(|entry| entry.range.len()).sum()
    }

    /// Checks names and shapes against `config`, exactly: none missing, none unknown, none of another shape. Only the
    /// redundant `lm_head.weight` of a tied model is let pass, and never read.
    ///
    /// # Errors
    /// The first tensor that is not as it should be.
    pub fn check(&self, config: &Config) -> Result<()> {
        let specs = tensors(config);
        for spec in &specs {
            self.entry(spec)?;
        }
        let known: HashSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        // An untied model's head is among the known names.
        let head = format!("{}lm_head.weight", text_prefix(config));
        match self
            .names()
            .into_iter()
            .find(|name| !known.contains(name) && *name != head)
        {
            None => Ok(()),
            Some(name) => {
                let what = format!(
                    "tensor {} is not part of the model that config.json describes",
                    one_line(name)
                );
                Err(Error::invalid(&self.place, what))
            }
        }
    }

    /// The values of one tensor as f32 (from f32, f16 or bf16), row after row; refuses values that are not finite.
    ///
    /// # Errors
    /// The tensor is missing, has another shape or an unsupported type, or holds a NaN or an infinity.
    pub fn read_f32(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        let entry = self.entry(spec)?;
        let bytes = &self.files[entry.file].bytes()[entry.range.clone()];
        // A header of odd length leaves the data unaligned, so it is copied out byte by byte before it is cast.
        let values = match entry.dtype {
            Dtype::F16 => widen(&bytemuck::pod_collect_to_vec::<u8, f16>(bytes)),
            Dtype::BF16 => widen(&bytemuck::pod_collect_to_vec::<u8, bf16>(bytes)),
            _ => bytemuck::pod_collect_to_vec::<u8, f32>(bytes),
        };
        match not_finite(&values) {
            None => Ok(values),
            Some(at) => {
                let what = format!(
                    "tensor {} holds {} at value {at}: the weights are damaged",
                    spec.name, values[at]
                );
                Err(Error::invalid(&self.place, what))
            }
        }
    }

    /// The entry of `spec`, of its shape and of a type that can be read.
    fn entry(&self, spec: &TensorSpec) -> Result<&Entry> {
        let name = &spec.name;
        let wrong = |what: String| Error::invalid(&self.place, format!("tensor {name} {what}"));
        let entry = self
            .tensors
            .get(name)
            .ok_or_else(|| wrong("is missing, but config.json calls for it".into()))?;
        // PyTorch saves a scalar parameter without dimensions.
        let scalar = entry.shape.is_empty() && spec.shape == [1];
        if entry.shape != spec.shape && !scalar {
            return Err(wrong(format!(
                "has shape {}, but config.json calls for {:?}",
                shape(&entry.shape),
                spec.shape
            )));
        }
        match entry.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(entry),
            other => Err(wrong(format!(
                "is stored as {other}: only F32, F16 and BF16 can be read"
            ))),
        }
    }

    fn empty(place: String) -> Self {
        Self {
            place,
            files: Vec::new(),
            tensors: HashMap::new(),
        }
    }

    fn open_shards(dir: &Path, index: &Path) -> Result<Self> {
        let place = index.display().to_string();
        let map = read_index(index, &place)?;
        let mut checkpoint = Self::empty(place.clone());
        let shards: BTreeSet<&str> = map.values().map(String::as_str).collect();
        for shard in &shards {
            checkpoint.add_file(&dir.join(shard))?;
        }
        let order: Vec<&str> = shards.into_iter().collect();
        for (name, shard) in &map {
            let found = checkpoint.tensors.get(name).map(|entry| order[entry.file]);
            if found != Some(shard) {
                let what = format!("says that tensor {} is in {shard}, but it is not there", one_line(name));
                return Err(Error::invalid(place, what));
            }
        }
        match checkpoint.names().into_iter().find(|name| !map.contains_key(*name)) {
            None => Ok(checkpoint),
            Some(name) => Err(Error::invalid(
                place,
                format!("does not list tensor {}, which a shard holds", one_line(name)),
            )),
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let place = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if !metadata.is_file() {
            return Err(Error::invalid(place, "is not a file"));
        }
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        if metadata.len() == 0 {
            return self.add(Source::Owned(Vec::new()), &place);
        }
        // SAFETY: the map is private and read-only. Its one hazard is another program that shortens the file meanwhile;
        // every loader of large checkpoints takes it, as the alternative is to hold the weights twice.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        self.add(Source::Mapped(map), &place)
    }

    fn add(&mut self, source: Source, place: &str) -> Result<()> {
        for (name, entry) in header::parse(source.bytes(), self.files.len(), place)? {
            if self.tensors.contains_key(&name) {
                let what = format!("holds tensor {}, which another shard holds too", one_line(&name));
                return Err(Error::invalid(place, what));
            }
            self.tensors.insert(name, entry);
        }
        self.files.push(source);
        Ok(())
    }
}

/// The `weight_map` of a sharded checkpoint: tensor name to file name.
fn read_index(path: &Path, place: &str) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let size = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    if size > header::MAX_HEADER {
        return Err(Error::invalid(place, format!("is {size} bytes: no index is that long")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(place, format!("is no valid index: {}", one_line(&e.to_string()))))?;
    // A shard is a file beside its index: a path would lead out of the folder.
    let plain = |file: &&String| {
        Path::new(file.as_str())
            .file_name()
            .is_none_or(|name| name != file.as_str())
    };
    match index.weight_map.values().find(plain) {
        Some(file) => Err(Error::invalid(
            place,
            format!("names the shard {:?}: it must be a file name", one_line(file)),
        )),
        None if index.weight_map.is_empty() => Err(Error::invalid(place, "lists no tensor")),
        None => Ok(index.weight_map),
    }
}

fn widen<H>(values: &[H]) -> Vec<f32>
where
    [H]: HalfFloatSliceExt,
{
    let mut wide = vec![0.0; values.len()];
    values.convert_to_f32_slice(&mut wide);
    wide
}

/// The first value that is NaN or infinite.
pub(super) fn not_finite(values: &[f32]) -> Option<usize> {
    // Whole blocks first: a sum of exponents that are all ones vectorises, a search with an early exit does not.
    let bad = |value: &f32| value.to_bits() & 0x7f80_0000 == 0x7f80_0000;
    let block = values
        .chunks(4096)
        .position(|block| block.iter().fold(false, |any, value| any | bad(value)))?;
    values[block * 4096..].iter().position(bad).map(|at| block * 4096 + at)
}

fn shape(shape: &[usize]) -> String {
    if shape.len() > 8 {
        format!("of {} dimensions", shape.len())
    } else {
        format!("{shape:?}")
    }
}
