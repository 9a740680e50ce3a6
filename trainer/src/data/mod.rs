//! Training data: files to documents, documents to token ids, ids to windows of chunks with their pages.

mod batch;
mod cache;
mod corpus;
mod cut;
mod files;
mod label;
mod pack;
mod prefetch;
mod reader;
mod rng;

pub use batch::{ChunkSample, Sample, SampleKind, SampleRequest};
pub use corpus::{Corpus, Ids};
pub(crate) use cut::pieces;
pub use files::{Compression, Format, Source, sources};
pub use label::{BLANK, CELL_CLASSES, Labels, NEWLINE, OTHER, labels};
pub use pack::Windows;
pub use prefetch::Prefetch;
pub use reader::{Document, read_documents};
pub use rng::{Rng, hash};

#[cfg(test)]
pub(crate) use corpus::tests as tests_support;
