//! Which tensor goes where: files, order, headers, index.

use super::{StoredType, TensorSpec};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// A tensor and how it will be stored.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) spec: &'a TensorSpec,
    pub(super) stored: StoredType,
    bytes: usize,
}

/// The tensors of one file, in the order of their bytes.
pub(super) type Shard<'a> = Vec<Place<'a>>;

/// Divides `specs` among files of at most `max_bytes` of tensors (or one tensor, if that alone is larger); at least one
/// file. `stored` is the folder's type, see [`StoredType::of`].
pub(super) fn plan(specs: &[TensorSpec], stored: StoredType, max_bytes: u64) -> Result<Vec<Shard<'_>>> {
    let (mut shards, mut shard, mut size) = (Vec::new(), Vec::new(), 0u64);
    for spec in specs {
        let stored = stored.of(spec);
        let row = stored.row_bytes(spec.columns());
        let bytes = row.and_then(|row| row.checked_mul(spec.rows())).ok_or_else(|| {
            let TensorSpec { name, shape } = spec;
            Error::Argument(format!("tensor {name} of shape {shape:?} cannot be stored as {stored}"))
        })?;
        if !shard.is_empty() && size.saturating_add(bytes as u64) > max_bytes {
            shards.push(std::mem::take(&mut shard));
            size = 0;
        }
        size += bytes as u64;
        shard.push(Place { spec, stored, bytes });
    }
    shards.push(shard);
    for shard in &mut shards {
        // Wide types first: then every tensor lies aligned to its type.
        shard.sort_by_key(|place| Reverse(alignment(place.stored)));
    }
    Ok(shards)
}

fn alignment(stored: StoredType) -> usize {
    match stored {
        StoredType::F32 => 4,
        StoredType::F16 | StoredType::BF16 => 2,
        _ => 1,
    }
}

/// Length and header of a file with these tensors.
pub(super) fn header(shard: &Shard<'_>) -> Result<Vec<u8>> {
    let mut offset = 0;
    let infos = shard.iter().map(|place| {
        let start = offset;
        offset += place.bytes;
        let info = TensorInfo {
            dtype: dtype(place.stored),
            shape: shape(place),
            data_offsets: (start, offset),
        };
        (place.spec.name.clone(), info)
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

fn dtype(stored: StoredType) -> Dtype {
    match stored {
        StoredType::F32 => Dtype::F32,
        StoredType::F16 => Dtype::F16,
        StoredType::BF16 => Dtype::BF16,
        _ => Dtype::U8,
    }
}

/// The shape in the file: of a quantised matrix, rows and bytes of a row.
fn shape(place: &Place<'_>) -> Vec<usize> {
    if place.stored.is_quantised() {
        let rows = place.spec.rows();
        vec![rows, place.bytes.checked_div(rows).unwrap_or(0)]
    } else {
        place.spec.shape.clone()
    }
}

/// The index of several files; `name` gives the name of the i-th.
pub(super) fn index(shards: &[Shard<'_>], name: &dyn Fn(usize) -> String) -> String {
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        for place in shard {
            map.insert(place.spec.name.as_str(), name(i));
        }
    }
    let total = bytes(shards);
    format!(
        "{:#}\n",
        json!({ "metadata": { "total_size": total }, "weight_map": map })
    )
}

/// Bytes of all tensors.
pub(super) fn bytes(shards: &[Shard<'_>]) -> u64 {
    shards.iter().flatten().map(|place| place.bytes as u64).sum()
}
