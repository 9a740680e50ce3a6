//! Training data: files to documents, documents to token ids, ids to windows of chunks with their pages.

mod batch;
mod cache;
mod captions;
mod chat;
mod corpus;
mod cut;
mod draw;
mod files;
mod label;
mod memory;
mod pack;
mod parquet;
mod prefetch;
mod reader;
mod rng;
mod sets;
mod stream;
mod unfolded;

pub use batch::{ChunkSample, Form, Sample, SampleKind, SampleRequest};
pub use captions::Captions;
pub use chat::{Chats, Special};
pub use corpus::{Corpus, Ids};
pub(crate) use cut::pieces;
pub use draw::Drawer;
pub(crate) use files::names;
pub use files::{Compression, Format, Source, sources};
pub use label::{BLANK, CELL_CLASSES, Labels, NEWLINE, OTHER, labels};
pub use memory::Memory;
pub use pack::Windows;
pub use prefetch::Prefetch;
pub use reader::{Document, read_documents};
pub use rng::{Rng, hash, permuted};
pub use sets::{DataKind, DataSet, DataSets};
pub use stream::Stream;

#[cfg(test)]
pub(crate) use corpus::tests as tests_support;
