//! Opening: everything before the tensors.

use super::cursor::Cursor;
use super::table::{self, Row};
use super::value::Value;
use super::{Gguf, table::LEAST};
use crate::{Error, Result};
use memmap2::Mmap;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const MAGIC: [u8; 4] = *b"GGUF";
/// Where tensors begin and what their offsets are multiples of, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;
/// Real keys have some dozens.
const MAX_KEY: usize = 1 << 16;

/// Whether `path` is a file that starts as GGUF files do, whatever it is called.
pub fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    path.is_file()
        && File::open(path)
            .and_then(|mut file| file.read_exact(&mut magic))
            .is_ok_and(|()| magic == MAGIC)
}

/// Whether `bytes` start as GGUF files do.
pub(crate) fn is_gguf_bytes(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl Gguf {
    /// Opens `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no GGUF file of version 2 or 3, is truncated or contradicts itself.
    pub fn open(path: &Path) -> Result<Self> {
        Self::map(path).map(|(gguf, _)| gguf)
    }

    /// As [`Self::open`], with the file's bytes.
    pub(crate) fn map(path: &Path) -> Result<(Self, Mmap)> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let metadata = file.metadata().map_err(|e| Error::io("read", path, e))?;
        let place = path.display().to_string();
        if !metadata.is_file() {
            return Err(Error::invalid(place, "is not a file"));
        }
        if metadata.len() == 0 {
            return Err(Error::invalid(place, "is empty; fetch it again"));
        }
        // SAFETY: as for safetensors, the map is private and read-only; its one hazard is another program that shortens the
        // file meanwhile.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        let gguf = Self::parse(&map, map.len() as u64, &place)?;
        Ok((gguf, map))
    }

    /// Parses what stands at the start of a file of `size` bytes; `bytes` are its first ones, all that come before the
    /// tensors at least. `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(bytes: &[u8], size: u64, place: &str) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, place);
        if cursor.array("the magic number")? != MAGIC {
            return Err(Error::invalid(place, "is no GGUF file"));
        }
        let version = cursor.u32("the version")?;
        if !(2..=3).contains(&version) {
            let what = match version.swap_bytes() {
                2 | 3 => "is a big-endian GGUF file: only little-endian ones can be read".to_owned(),
                _ => format!("is a GGUF file of version {version}: 2 and 3 can be read; convert the model anew"),
            };
            return Err(Error::invalid(place, what));
        }
        let count = cursor.count(LEAST, "the number of tensors")?;
        // A key's length, a type, one byte.
        let keys = cursor.count(8 + 4 + 1, "the number of metadata keys")?;
        let metadata = metadata(&mut cursor, bytes, keys)?;
        let mut rows = Vec::new();
        for index in 0..count {
            rows.push(Row::read(&mut cursor, bytes, index)?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(Value::Whole(n)) => u64::try_from(*n).unwrap_or(0),
            Some(_) => 0,
        };
        if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
            return Err(Error::invalid(
                place,
                format!("general.alignment must be a power of two up to {MAX_ALIGNMENT}"),
            ));
        }
        let end = cursor.at();
        let data = (end as u64).next_multiple_of(alignment);
        let tensors = table::place(rows, data, size, alignment, place)?;
        Ok(Self {
            place: place.to_owned(),
            head: bytes[..end].to_vec(),
            metadata,
            tensors,
        })
    }
}

fn metadata(cursor: &mut Cursor<'_>, bytes: &[u8], keys: usize) -> Result<HashMap<String, Value>> {
    let mut metadata = HashMap::new();
    for index in 0..keys {
        let range = cursor.text(format_args!("metadata key {index}"))?;
        let key = std::str::from_utf8(&bytes[range])
            .ok()
            .filter(|key| key.len() <= MAX_KEY && !key.contains(char::is_control))
            .ok_or_else(|| cursor.error(format!("metadata key {index} is no key")))?;
        let value = Value::read(cursor, key)?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(cursor.error(format!("metadata key {key} comes twice")));
        }
    }
    Ok(metadata)
}
