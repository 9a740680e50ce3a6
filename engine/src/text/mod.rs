//! Text in and out: tokenizer, streaming detokenizer, chat template, chunker.

mod chat;
mod chunker;
mod detokenizer;
mod tokenizer;
mod vocab;

pub use chat::{ChatTemplate, Message};
pub use chunker::{Chunk, Chunker, chunk_all};
pub use detokenizer::Detokenizer;
pub use tokenizer::Tokenizer;
