//! The trait that every runner implements: what a session asks of a model.

use crate::Result;
use crate::config::Config;
use crate::context::Context;
use crate::page::PageImage;

/// Which logits an operation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// None: only the KV matters.
    Nothing,
    /// Those of the last token.
    Last,
    /// Those of every token.
    All,
}

/// Next-token logits, row after row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Logits {
    /// `rows × vocab` values.
    pub data: Vec<f32>,
    /// Columns: the decoder's `vocab_size`.
    pub vocab: usize,
}

impl Logits {
    /// Row `i`, `[vocab]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.vocab..(i + 1) * self.vocab]
    }

    /// The last row, `[vocab]`.
    pub fn last(&self) -> &[f32] {
        &self.data[self.data.len() - self.vocab..]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.vocab).unwrap_or(0)
    }
}

/// What folding gave.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    /// Visual slots that each page took.
    pub slots: Vec<usize>,
    /// Logits of the last page's last visual token, `[1, vocab]` (empty with [`Want::Nothing`]).
    pub logits: Logits,
    /// Seconds spent in the vision encoder and aligner.
    pub encode_s: f64,
    /// Seconds spent running the visual tokens through the decoder.
    pub prefill_s: f64,
}

/// A model with one context. Positions and visibility are [`Context`]'s; the runner holds the matching KV.
pub trait Runner {
    /// The model's configuration.
    fn config(&self) -> &Config;

    /// The bookkeeping of the slots held now.
    fn context(&self) -> &Context;

    /// Forgets everything.
    fn reset(&mut self);

    /// Runs `ids` as the next tokens of the open chunk.
    ///
    /// # Errors
    /// An id outside the vocabulary, a full context, logits that are not finite. The context is then unchanged.
    fn extend(&mut self, ids: &[u32], want: Want) -> Result<Logits>;

    /// Folds the open chunk into `pages[0]`, then appends the other pages, each as a segment of its own.
    ///
    /// The open chunk may be empty: a prompt's chunks are folded without running their text (unless
    /// `visual_sees_text`). Logits with [`Want::Last`] are those of the last page's last visual token.
    ///
    /// # Errors
    /// A text-only model, a full context, logits that are not finite. The context is then unchanged.
    fn fold(&mut self, pages: &[PageImage], want: Want) -> Result<Folded>;

    /// Keeps the open chunk as raw text for good.
    fn keep_open(&mut self);

    /// Forgets the open chunk (the no-memory control).
    fn drop_open(&mut self);

    /// Forgets the `n` oldest slots of finished segments (the sliding-window control).
    fn evict(&mut self, n: usize);

    /// Bytes of KV that one slot takes.
    fn kv_bytes_per_slot(&self) -> usize;

    /// Bytes of weights held.
    fn weight_bytes(&self) -> usize;

    /// The device in words, for statistics ("cpu (flex)").
    fn device(&self) -> String;
}
