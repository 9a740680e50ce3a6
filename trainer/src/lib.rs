//! Folio's trainer: text files in, a checkpoint that folds out. See `recipes/` for what a run is made of.

pub mod data;
pub mod files;
pub mod tokenizer_train;

pub use folio_engine::{Error, Result};
