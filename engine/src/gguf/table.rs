//! The table of tensors.

use super::cursor::Cursor;
use super::types::{GgmlType, name as type_name};
use crate::{Error, Result};
use std::collections::HashSet;
use std::ops::Range;

/// ggml's own limit.
const MAX_DIMENSIONS: u32 = 4;
/// ggml's own is 64.
const MAX_NAME: usize = 256;
/// Bytes that an entry has at least: a name's length, number of dimensions, type, offset.
pub(super) const LEAST: usize = 8 + 4 + 4 + 8;

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    /// llama.cpp's name ("blk.0.attn_q.weight").
    pub(crate) name: String,
    /// Shape, outermost first: the other way round than in the file.
    pub(crate) shape: Vec<usize>,
    /// Its type and where its bytes lie in the file; or what its type is called, when that cannot be read.
    pub(crate) data: Result<(GgmlType, Range<usize>), String>,
}

/// A tensor before it is known where tensors begin.
pub(super) struct Row {
    name: String,
    shape: Vec<usize>,
    code: u32,
    offset: u64,
}

impl Row {
    pub(super) fn read(cursor: &mut Cursor<'_>, bytes: &[u8], index: usize) -> Result<Self> {
        let range = cursor.text(format_args!("the name of tensor {index}"))?;
        let text = std::str::from_utf8(&bytes[range]).ok();
        let plain = |name: &&str| !name.is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control);
        let name = text
            .filter(plain)
            .ok_or_else(|| cursor.error(format!("the name of tensor {index} is no name")))?
            .to_owned();
        let dimensions = cursor.u32(format_args!("the number of dimensions of {name}"))?;
        if dimensions > MAX_DIMENSIONS {
            return Err(cursor.error(format!(
                "tensor {name} has {dimensions} dimensions, at most {MAX_DIMENSIONS} can be"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = cursor.u64(format_args!("a dimension of {name}"))?;
            let size = usize::try_from(size).ok().filter(|size| *size > 0);
            shape.push(size.ok_or_else(|| cursor.error(format!("tensor {name} has an impossible dimension")))?);
        }
        shape.reverse();
        let code = cursor.u32(format_args!("the type of {name}"))?;
        let offset = cursor.u64(format_args!("the offset of {name}"))?;
        Ok(Self {
            name,
            shape,
            code,
            offset,
        })
    }

    /// The tensor, with `data` the place where tensors begin in a file of `size` bytes.
    fn place(self, data: u64, size: u64, alignment: u64) -> Result<TensorInfo, String> {
        let Self {
            name,
            shape,
            code,
            offset,
        } = self;
        let Some(kind) = GgmlType::of(code) else {
            let data = Err(type_name(code));
            return Ok(TensorInfo { name, shape, data });
        };
        let (values, bytes) = kind.block();
        let columns = shape.last().copied().unwrap_or(1);
        if !columns.is_multiple_of(values) {
            return Err(format!(
                "tensor {name} has rows of {columns} values, no whole blocks of {values}"
            ));
        }
        let elements = shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        let length = elements.and_then(|n| (n / values).checked_mul(bytes));
        let start = data.checked_add(offset);
        let range = length.zip(start).and_then(|(length, start)| {
            let end = start.checked_add(length as u64).filter(|end| *end <= size)?;
            Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        });
        let range = range.ok_or_else(|| {
            format!("tensor {name} of shape {shape:?} lies beyond the end of the file ({size} bytes); fetch it again")
        })?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor {name} is at offset {offset}, which is no multiple of {alignment}"
            ));
        }
        Ok(TensorInfo {
            name,
            shape,
            data: Ok((kind, range)),
        })
    }
}

/// Places the rows of the table in a file of `size` bytes: each in the file, none over another, no name twice. (Tensors
/// that share bytes would let a small file ask for any amount of memory.)
pub(super) fn place(rows: Vec<Row>, data: u64, size: u64, alignment: u64, place: &str) -> Result<Vec<TensorInfo>> {
    let wrong = |what: String| Error::invalid(place, format!("is damaged: {what}"));
    let mut names = HashSet::new();
    let mut tensors = Vec::with_capacity(rows.len());
    for row in rows {
        let tensor = row.place(data, size, alignment).map_err(wrong)?;
        if !names.insert(tensor.name.clone()) {
            return Err(wrong(format!("it has tensor {} twice", tensor.name)));
        }
        tensors.push(tensor);
    }
    let mut ranges: Vec<(&Range<usize>, &str)> = tensors
        .iter()
        .filter_map(|tensor| Some((&tensor.data.as_ref().ok()?.1, tensor.name.as_str())))
        .collect();
    ranges.sort_by_key(|(range, _)| range.start);
    match ranges.windows(2).find(|pair| pair[0].0.end > pair[1].0.start) {
        Some(pair) => Err(wrong(format!("tensors {} and {} share bytes", pair[0].1, pair[1].1))),
        None => Ok(tensors),
    }
}
