//! What the training step gets: plain data, no tensors.

/// How a document's chunks are laid out and what is learnt from them (spec section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// Pages only: the encoder learns to name their characters; no decoder.
    Read,
    /// `[v1, c1, v2, c2, …]`, ordinary causal mask, loss on the text.
    Ocr,
    /// `[bos, c1, v1, …, cn]` by the rules of folding, loss on every text token.
    #[default]
    Olm,
    /// `[image, caption]`, loss on the caption.
    Caption,
    /// A chat: the prompt compressed by the tail rule, the response by the rules of folding, loss on the response.
    Sft,
}

impl SampleKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Read, Self::Ocr, Self::Olm, Self::Caption, Self::Sft];

    /// Whether the sequence starts with a raw BOS token.
    pub fn starts_with_bos(self) -> bool {
        matches!(self, Self::Olm | Self::Sft)
    }
}

/// How a chunk stands in its sample's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Its page only; its text is never run.
    Page,
    /// Its page, then its text for good.
    PageText,
    /// Its text, then the page that replaces it.
    Folded,
    /// Its text, without a page; always the last chunk.
    Open,
    /// Its text for good, without a page.
    Raw,
    /// Control: its text for good, where the method folds it.
    Kept,
    /// Control: its text, of which older slots give way as folding would free them.
    Window,
    /// Control: its text, forgotten when it is over.
    Dropped,
}

impl Form {
    /// Whether the chunk's page is in the sequence.
    pub fn has_page(self) -> bool {
        matches!(self, Self::Page | Self::PageText | Self::Folded)
    }

    /// Whether the chunk is folded, or would be if this were no control: the next chunk begins at a fold.
    pub fn ends_in_fold(self) -> bool {
        matches!(self, Self::Folded | Self::Kept | Self::Window | Self::Dropped)
    }

    /// Whether the chunk's text is in the sequence.
    pub fn has_text(self) -> bool {
        self != Self::Page
    }
}

/// Which window to cut: with the data and the seed, all that a [`Sample`] depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleRequest {
    /// Number of the sample in its run.
    pub index: u64,
    /// Which data set, by its place among the recipe's.
    pub set: usize,
    /// Tokens of its set's row before it, for a set that is streamed.
    pub position: u64,
    /// Tokens of the row that are its own.
    pub slot: u64,
    /// Chunks in the window (fewer where the document is shorter); of a chat, most chunks of the response; 0: no limit.
    pub chunks: usize,
    /// Most text tokens of a caption or a chat.
    pub max_tokens: Option<usize>,
    /// Tokens of a full chunk; `None`: the model's K. Never more than K.
    pub chunk_tokens: Option<usize>,
    /// Whether the window's words are put in random order, so that nothing but its pages tells what it says.
    pub shuffled: bool,
    /// Whether the last chunk of an `olm` sample follows an earlier page's text, read again.
    pub unfolded: bool,
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
    /// The same chunks as a sample of another kind, each in the form that the kind gives it.
    #[must_use]
    pub fn shaped(mut self, kind: SampleKind) -> Self {
        let last = self.chunks.len().saturating_sub(1);
        for (i, chunk) in self.chunks.iter_mut().enumerate() {
            chunk.form = match kind {
                SampleKind::Read => Form::Page,
                SampleKind::Ocr | SampleKind::Caption => Form::PageText,
                SampleKind::Olm | SampleKind::Sft if i == last => Form::Open,
                SampleKind::Olm | SampleKind::Sft => Form::Folded,
            };
            chunk.learn = kind != SampleKind::Read;
        }
        self.kind = kind;
        self
    }

    /// Text tokens of all chunks; those read again do not count twice.
    pub fn tokens(&self) -> usize {
        self.chunks.iter().map(ChunkSample::own).sum()
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
    /// For each slot, the tokens of this chunk whose text begins in it. Like `cells`, empty for what is no page of text.
    pub patch_tokens: Vec<Vec<u32>>,
    /// How it stands in the sequence.
    pub form: Form,
    /// Whether its text is predicted.
    pub learn: bool,
    /// Tokens at the start of `ids` that are given, not predicted: text of before that is read again (unfolding), which the
    /// page does not show.
    pub given: usize,
}

impl ChunkSample {
    /// Tokens that are its own.
    pub fn own(&self) -> usize {
        self.ids.len() - self.given
    }
}
