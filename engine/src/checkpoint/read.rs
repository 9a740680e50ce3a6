//! Reading safetensors, single or sharded.

use super::header::{self, Entry, one_line};
use super::{INDEX, PieceFile, SINGLE, tensors, text_prefix};
use crate::gguf::{Gguf, is_gguf, is_gguf_bytes};
use crate::{Error, Result, config::Config};
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

/// An opened checkpoint: memory-mapped files, nothing read until asked for.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) place: String,
    pub(super) files: Vec<Source>,
    pub(super) tensors: HashMap<String, Entry>,
    /// What says which tensors there should be.
    pub(super) plan: &'static str,
}

#[derive(Debug)]
pub(super) enum Source {
    Mapped(Mmap),
    Owned(Vec<u8>),
    Pieces(Box<dyn PieceFile>),
}

impl Source {
    /// Some bytes; `None` where there are none.
    pub(super) fn read(&self, range: Range<usize>) -> Result<Option<Cow<'_, [u8]>>> {
        let bytes: &[u8] = match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
            Self::Pieces(file) => {
                let range = range.start as u64..range.end as u64;
                return if range.end > file.length() || range.start > range.end {
                    Ok(None)
                } else {
                    file.read(range).map(|bytes| Some(Cow::Owned(bytes)))
                };
            }
        };
        Ok(bytes.get(range).map(Cow::Borrowed))
    }
}

impl Source {
    /// Lets go of the memory that a range of the map takes once it was read: it would come from the file again.
    pub(super) fn release(&mut self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self
            && range.end <= map.len()
        {
            // SAFETY: the map is read-only and nobody borrows from it now; the pages come from the file again when they are
            // read. The system may refuse: then they stay.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Checkpoint {
    /// Whether `dir` has weights at all: `model.safetensors`, or the index of shards. A GGUF file has.
    pub fn is_in(dir: &Path) -> bool {
        is_gguf(dir) || [SINGLE, INDEX].iter().any(|name| dir.join(name).exists())
    }

    /// Opens `model.safetensors` or the shards of `model.safetensors.index.json` in `dir`; or `dir`, if that is a GGUF file.
    ///
    /// # Errors
    /// No such files, or files that are truncated, damaged, or disagree with their index.
    pub fn open(dir: &Path) -> Result<Self> {
        if is_gguf(dir) {
            return Self::open_gguf(dir);
        }
        let index = dir.join(INDEX);
        if !dir.join(SINGLE).exists() && index.exists() {
            return Self::open_shards(dir, &index);
        }
        let mut checkpoint = Self::empty(dir.join(SINGLE).display().to_string());
        checkpoint.add_file(&dir.join(SINGLE))?;
        Ok(checkpoint)
    }

    /// A checkpoint from the bytes of one safetensors or GGUF file; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: Vec<u8>, place: &str) -> Result<Self> {
        if is_gguf_bytes(&bytes) {
            let gguf = Gguf::parse(&bytes, bytes.len() as u64, place)?;
            return Self::of_gguf(&gguf, Source::Owned(bytes));
        }
        let mut checkpoint = Self::empty(place.to_owned());
        let entries = header::parse(&bytes, 0, place)?;
        checkpoint.add(Source::Owned(bytes), entries, place)?;
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

    /// Checks names, shapes and types against `config`, exactly: none missing, none unknown, none of another shape. Only the
    /// redundant `lm_head.weight` of a tied model is let pass, and never read.
    ///
    /// # Errors
    /// The first tensor that is not as it should be.
    pub fn check(&self, config: &Config) -> Result<()> {
        let specs = tensors(config);
        for spec in &specs {
            self.stored_type(spec)?;
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
                    "tensor {} is not part of the model that {} describes",
                    one_line(name),
                    self.plan
                );
                Err(Error::invalid(&self.place, what))
            }
        }
    }

    pub(super) fn empty(place: String) -> Self {
        Self {
            place,
            files: Vec::new(),
            tensors: HashMap::new(),
            plan: "config.json",
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
            return header::parse(&[], 0, &place).map(drop);
        }
        // SAFETY: the map is private and read-only. Its one hazard is another program that shortens the file meanwhile;
        // every loader of large checkpoints takes it, as the alternative is to hold the weights twice.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        let entries = header::parse(&map, self.files.len(), &place)?;
        self.add(Source::Mapped(map), entries, &place)
    }

    pub(super) fn add(&mut self, source: Source, entries: Vec<(String, Entry)>, place: &str) -> Result<()> {
        for (name, entry) in entries {
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
