//! Training data: files to documents.

mod files;
mod reader;
mod rng;

pub use files::{Compression, Format, Source, sources};
pub use reader::{Document, read_documents};
pub use rng::{Rng, hash};
