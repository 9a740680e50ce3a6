//! Chunks and when they close (spec section 3).
use crate::page::Typesetter;

/// A closed chunk: its tokens and the text that its page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk's token ids.
    pub ids: Vec<u32>,
    /// The page's text: complete characters only; incomplete bytes moved to the next chunk's page.
    pub text: String,
}

/// Gathers tokens until a chunk closes.
#[derive(Debug, Clone)]
pub struct Chunker {
    _typesetter: Typesetter,
    _chunk_tokens: usize,
}

impl Chunker {
    /// A chunker that closes at `chunk_tokens` tokens or when the page is full.
    pub fn new(typesetter: Typesetter, chunk_tokens: usize) -> Self {
        Self { _typesetter: typesetter, _chunk_tokens: chunk_tokens }
    }
    /// Whether a token with these bytes may still join the open chunk.
    pub fn fits(&self, _bytes: &[u8]) -> bool {
        unimplemented!()
    }
    /// Adds a token; `true` when the chunk has reached K tokens and must close.
    ///
    /// An empty chunk takes any token (a token longer than a whole page spills onto the next ones).
    pub fn push(&mut self, _id: u32, _bytes: &[u8]) -> bool {
        unimplemented!()
    }
    /// Tokens in the open chunk.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether the open chunk has no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Closes the open chunk and starts the next.
    pub fn close(&mut self) -> Chunk {
        unimplemented!()
    }
}
