//! Checkpoint files that are read piece by piece: where nothing can be mapped (a browser), and while they still arrive.

use super::header;
use super::read::Source;
use super::{Checkpoint, TensorSpec};
use crate::{Error, Pending, Result};
use std::fmt;
use std::ops::Range;

/// A file whose bytes can be read once they have arrived.
pub trait PieceFile {
    /// Its name in errors.
    fn name(&self) -> &str;

    /// Its length in bytes, known from the start.
    fn length(&self) -> u64;

    /// Reads some bytes that have arrived.
    ///
    /// # Errors
    /// What the storage says.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>>;

    /// Waits until all bytes before `end` can be read.
    ///
    /// # Errors
    /// They will not come.
    fn arrived(&self, end: u64) -> Pending<'_, ()>;
}

impl fmt::Debug for dyn PieceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name(), self.length())
    }
}

impl Checkpoint {
    /// A checkpoint of these files: waits for their headers, not for their tensors (see [`Checkpoint::arrived`]).
    ///
    /// # Errors
    /// Files that are damaged or hold a tensor twice; what the storage says.
    pub async fn from_pieces(files: Vec<Box<dyn PieceFile>>) -> Result<Self> {
        let mut checkpoint = Self::empty("the model's files".into());
        for file in files {
            let (place, size) = (file.name().to_owned(), file.length());
            if usize::try_from(size).is_err() {
                return Err(Error::Argument(format!(
                    "{place} is {size} bytes, a file may have at most {} here: store the model in shards",
                    usize::MAX
                )));
            }
            let first = size.min(header::LENGTH);
            file.arrived(first).await?;
            let length = header::length(&file.read(0..first)?, size, &place)?;
            let end = header::LENGTH + length;
            file.arrived(end).await?;
            let entries = header::entries(&file.read(header::LENGTH..end)?, size, checkpoint.files.len(), &place)?;
            checkpoint.add(Source::Pieces(file), entries, &place)?;
        }
        Ok(checkpoint)
    }

    /// Waits until the tensor of `spec` can be read.
    ///
    /// # Errors
    /// Its file will not come.
    pub async fn arrived(&self, spec: &TensorSpec) -> Result<()> {
        match self.tensors.get(&spec.name) {
            Some(entry) => match &self.files[entry.file] {
                Source::Pieces(file) => file.arrived(entry.range.end as u64).await,
                Source::Mapped(_) | Source::Owned(_) => Ok(()),
            },
            None => Err(Error::invalid(&self.place, format!("tensor {} is missing", spec.name))),
        }
    }
}
