//! What the training step gets: plain data, no tensors.

/// How a document's chunks are laid out and what is learnt from them (spec section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// Pages only: the encoder learns to name their characters; no decoder.
    Read,
    /// `[v1, c1, v2, c2, …]`, ordinary causal mask, loss on the text.
    Ocr,
    /// `[bos, c1, v1, …, cn]` by the rules of folding, loss on every text token.
    Olm,
}

/// Which window to cut: with the data and the seed, all that a [`Sample`] depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRequest {
    /// Number of the sample in its run.
    pub index: u64,
    /// Chunks in the window (fewer where the document is shorter).
    pub chunks: usize,
    /// Tokens of a full chunk; `None`: the model's K. Never more than K.
    pub chunk_tokens: Option<usize>,
    /// Whether the window's words are put in random order, so that nothing but its pages tells what it says.
    pub shuffled: bool,
    /// Layout.
    pub kind: SampleKind,
}

/// A window of one document: consecutive chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Layout.
    pub kind: SampleKind,
    /// The document's number in the corpus.
    pub document: usize,
    /// Where the window begins in the document, in tokens.
    pub start: usize,
    /// The chunks, at least one.
    pub chunks: Vec<ChunkSample>,
}

impl Sample {
    /// Text tokens of all chunks.
    pub fn tokens(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.ids.len()).sum()
    }
}

/// A chunk with its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSample {
    /// Token ids, at most K.
    pub ids: Vec<u32>,
    /// `slots × patch_len` grey values, each patch flattened as (channel, row, column); not normalised.
    pub pages: Vec<u8>,
    /// Visual slots of the page.
    pub slots: usize,
    /// The page's text.
    pub text: String,
    /// `slots × cells per patch` character classes, each patch in reading order; see [`super::labels`].
    pub cells: Vec<u8>,
    /// For each slot, the tokens of this chunk whose text begins in it.
    pub patch_tokens: Vec<Vec<u32>>,
}
