//! The data sets of a recipe behind one door.

use super::batch::{Sample, SampleKind, SampleRequest};
use super::captions::Captions;
use super::chat::Chats;
use super::memory::Memory;
use super::pack::Windows;
use super::stream::Stream;
use crate::Result;
use std::sync::Arc;

/// What a data set holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// Documents: for `read`, `ocr` and `olm`.
    #[default]
    Text,
    /// Images with captions: for `caption`.
    Caption,
    /// Chats: for `sft`.
    Chat,
}

impl DataKind {
    /// What samples of `kind` are made of.
    pub fn of(kind: SampleKind) -> Self {
        match kind {
            SampleKind::Read | SampleKind::Ocr | SampleKind::Olm => Self::Text,
            SampleKind::Caption => Self::Caption,
            SampleKind::Sft => Self::Chat,
        }
    }
}

/// One data set.
#[derive(Debug, Clone)]
pub enum DataSet {
    /// Windows of documents.
    Text(Arc<Windows>),
    /// Windows of documents from shards that are tokenised as the run goes on.
    Stream(Arc<Stream>),
    /// Images with captions.
    Captions(Arc<Captions>),
    /// Chats.
    Chats(Arc<Chats>),
}

impl DataSet {
    /// The sample of `request`.
    ///
    /// # Errors
    /// An image or a chat that cannot be read.
    pub fn sample(&self, request: &SampleRequest) -> Result<Sample> {
        match self {
            Self::Text(windows) => Ok(windows.sample(request)),
            Self::Stream(stream) => stream.sample(request),
            Self::Captions(captions) => captions.sample(request),
            Self::Chats(chats) => chats.sample(request),
        }
    }

    /// What it holds, in words: `"1,000 tokens in 3 documents"`.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(windows) => {
                let corpus = windows.corpus();
                format!("{} tokens in {} documents", corpus.tokens(), corpus.documents())
            }
            Self::Stream(stream) => format!("{} shards, streamed", stream.shards()),
            Self::Captions(captions) => format!("{} images with captions", captions.len()),
            Self::Chats(chats) => format!("{} replies", chats.len()),
        }
    }
}

/// All data sets of a recipe, in its order, and what their samples may remember. Clones share the data.
#[derive(Debug, Clone)]
pub struct DataSets(pub Vec<DataSet>, pub Memory);

impl DataSets {
    /// The sample of `request`, from the set that it names.
    ///
    /// # Errors
    /// As [`DataSet::sample`].
    ///
    /// # Panics
    /// If there is no such set: the plan and the sets are of the same recipe.
    pub fn sample(&self, request: &SampleRequest) -> Result<Sample> {
        let sample = match &self.0[request.set] {
            DataSet::Text(windows) => windows.remembering(request, self.1),
            set => set.sample(request)?.remembering(self.1),
        };
        let fold = match &self.0[request.set] {
            DataSet::Text(windows) => windows.drawer().config(),
            DataSet::Stream(stream) => stream.drawer().config(),
            DataSet::Chats(chats) => chats.drawer().config(),
            DataSet::Captions(_) => return Ok(sample),
        };
        let sample = if request.unfolded && self.1 == Memory::Vision {
            sample.unfolded(fold.visual_tokens.max(fold.reread_tokens))
        } else {
            sample
        };
        Ok(sample.rereading(fold.reread_tokens))
    }
}
