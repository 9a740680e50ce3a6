//! GGUF, llama.cpp's file of weights, metadata and tokenizer in one: header, metadata and the table of tensors. What a
//! model is, nobody here knows: `config`, `text` and `checkpoint` read their part of it.
//!
//! All that a file says of itself (lengths, counts, dimensions, types, offsets) is held against its size before it is
//! used; what is parsed takes memory in proportion to the file, whatever it claims. Source: `docs/gguf.md` of ggml.

mod cursor;
mod lookup;
mod open;
mod table;
mod types;
mod value;

pub use open::is_gguf;
pub(crate) use open::is_gguf_bytes;
pub(crate) use table::TensorInfo;
pub(crate) use types::GgmlType;

use std::collections::HashMap;
use value::Value;

/// What stands before the tensors of a GGUF file.
#[derive(Debug)]
pub struct Gguf {
    /// The file's name in errors.
    place: String,
    /// The bytes of header, metadata and tensor table.
    head: Vec<u8>,
    metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
}

impl Gguf {
    /// The file's name in errors.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The bytes before the tensors: they tell one model from another, but for its weights.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The tensors in the order of the table.
    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }
}
