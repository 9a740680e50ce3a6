//! The header of a safetensors file: checked against the file's length before anything else is believed.

use super::StoredType;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, Metadata};
use std::ops::Range;

/// Real headers are a few hundred kilobytes; a longer one is an attack or damage.
pub(super) const MAX_HEADER: u64 = 32 << 20;

/// One tensor of a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Which of the checkpoint's files holds it.
    pub(super) file: usize,
    /// What the file says of its type.
    pub(super) dtype: Declared,
    /// Shape, outermost first.
    pub(super) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(super) range: Range<usize>,
    /// The width of heads whose rows lie in another order in the file; see [`super::gguf`].
    pub(super) interleaved: Option<usize>,
}

/// A storage type as a file declares it.
#[derive(Debug, Clone)]
pub(super) enum Declared {
    /// In safetensors: blocks are bytes there.
    Safetensors(Dtype),
    /// In GGUF: the type, or the name of one that cannot be read.
    Gguf(Result<StoredType, String>),
}

/// Bytes that tell the header's length.
pub(super) const LENGTH: u64 = 8;

/// The tensors of a safetensors file, by name.
///
/// # Errors
/// Not a safetensors file, truncated, or with a header that does not describe it.
pub(super) fn parse(bytes: &[u8], file: usize, place: &str) -> Result<Vec<(String, Entry)>> {
    let size = bytes.len() as u64;
    let end = (LENGTH + length(bytes, size, place)?) as usize;
    entries(&bytes[LENGTH as usize..end], size, file, place)
}

/// The header's length, from the first bytes of a file of `size` bytes.
///
/// # Errors
/// A file too short for it.
pub(super) fn length(first: &[u8], size: u64, place: &str) -> Result<u64> {
    let length = first
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
        .ok_or_else(|| truncated(size, LENGTH, place))?;
    if length > MAX_HEADER {
        let what = format!("claims a header of {length} bytes: it is damaged or no safetensors file");
        return Err(Error::invalid(place, what));
    }
    match LENGTH + length > size {
        true => Err(truncated(size, LENGTH + length, place)),
        false => Ok(length),
    }
}

fn truncated(size: u64, need: u64, place: &str) -> Error {
    let what = format!("is truncated: it has {size} bytes and needs {need}; fetch it again");
    Error::invalid(place, what)
}

/// What `header` says of a file of `size` bytes.
///
/// # Errors
/// As [`parse`].
pub(super) fn entries(header: &[u8], size: u64, file: usize, place: &str) -> Result<Vec<(String, Entry)>> {
    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| {
        Error::invalid(
            place,
            format!("is no valid safetensors file: {}", one_line(&e.to_string())),
        )
    })?;
    let start = LENGTH as usize + header.len();
    let whole = (metadata.data_len() as u64).saturating_add(start as u64);
    if whole > size {
        return Err(truncated(size, whole, place));
    }
    if whole < size {
        let what = format!("has {} bytes after its last tensor: it is damaged", size - whole);
        return Err(Error::invalid(place, what));
    }
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (from, to) = info.data_offsets;
        let entry = Entry {
            file,
            dtype: Declared::Safetensors(info.dtype),
            shape: info.shape.clone(),
            range: start + from..start + to,
            interleaved: None,
        };
        (name, entry)
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}

/// A message or name from a file as it is shown in an error: short, on one line.
pub(super) fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(160)
        .collect();
    if text.chars().nth(160).is_some() {
        format!("{line}…")
    } else {
        line
    }
}
