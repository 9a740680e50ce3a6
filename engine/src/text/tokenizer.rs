//! `tokenizer.json`.
use crate::Result;
use std::path::Path;

/// A tokenizer with the exact bytes of every token.
#[derive(Debug, Clone)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Reads `dir/tokenizer.json`.
    pub fn load(_dir: &Path) -> Result<Self> {
        unimplemented!()
    }
    /// Parses the content of a `tokenizer.json`; `place` names it in errors.
    pub fn from_bytes(_json: &[u8], _place: &str) -> Result<Self> {
        unimplemented!()
    }
    /// Token ids of `text`; no special token is added, none is recognised inside the text.
    pub fn encode(&self, _text: &str) -> Result<Vec<u32>> {
        unimplemented!()
    }
    /// Like [`Self::encode`], but special tokens written in `text` (as chat templates do) become their ids.
    pub fn encode_with_special(&self, _text: &str) -> Result<Vec<u32>> {
        unimplemented!()
    }
    /// The exact bytes that a token stands for; empty for special tokens and unknown ids.
    pub fn token_bytes(&self, _id: u32) -> &[u8] {
        unimplemented!()
    }
    /// Whether `id` is a special token (draws nothing, prints nothing).
    pub fn is_special(&self, _id: u32) -> bool {
        unimplemented!()
    }
    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        unimplemented!()
    }
}
