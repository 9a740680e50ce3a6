//! Text in and out: tokenizer, streaming detokenizer, chat template, chunker.

mod byte_level;
mod chat;
mod chat_split;
mod chunker;
mod detokenizer;
mod gguf;
mod pre_tokenizer;
mod tokenizer;
mod vocab;

pub use byte_level::byte_level_tokenizer_json;
pub use chat::{ChatPart, ChatTemplate, Message};
pub use chunker::{Chunk, Chunker, chunk_all};
pub use detokenizer::Detokenizer;
pub(crate) use gguf::{tokenizer_config, tokenizer_json};
pub use tokenizer::Tokenizer;
