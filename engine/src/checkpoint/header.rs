//! The header of a safetensors file: checked against the file's length before anything else is believed.

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
    /// Storage type.
    pub(super) dtype: Dtype,
    /// Shape, outermost first.
    pub(super) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(super) range: Range<usize>,
}

/// The tensors of a safetensors file, by name.
///
/// # Errors
/// Not a safetensors file, truncated, or with a header that does not describe it.
pub(super) fn parse(bytes: &[u8], file: usize, place: &str) -> Result<Vec<(String, Entry)>> {
    let truncated = |need: u64| {
        let what = format!(
            "is truncated: it has {} bytes and needs {need}; fetch it again",
            bytes.len()
        );
        Error::invalid(place, what)
    };
    let length = bytes
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
        .ok_or_else(|| truncated(8))?;
    if length > MAX_HEADER {
        let what = format!("claims a header of {length} bytes: it is damaged or no safetensors file");
        return Err(Error::invalid(place, what));
    }
    let start = 8 + length as usize;
    let header = bytes.get(8..start).ok_or_else(|| truncated(8 + length))?;
    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| {
        Error::invalid(
            place,
            format!("is no valid safetensors file: {}", one_line(&e.to_string())),
        )
    })?;
    let data = metadata.data_len() as u64;
    let whole = data.saturating_add(start as u64);
    if whole > bytes.len() as u64 {
        return Err(truncated(whole));
    }
    if whole < bytes.len() as u64 {
        let what = format!(
            "has {} bytes after its last tensor: it is damaged",
            bytes.len() as u64 - whole
        );
        return Err(Error::invalid(place, what));
    }
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (from, to) = info.data_offsets;
        let entry = Entry {
            file,
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: start + from..start + to,
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
