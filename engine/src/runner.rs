//! The trait that every runner implements: what a session asks of a model.

use crate::config::Config;
use crate::context::Context;
use crate::page::PageImage;
use crate::{Error, Pending, Result, ready};

/// Which logits an operation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// None: only the KV matters.
    Nothing,
    /// Those of the last token.
    Last,
    /// Those of every token.
    All,
    /// Those of the last token, left on the device for [`Runner::draw`]: nothing is read back. A runner that cannot
    /// draw gives them as with [`Want::Last`].
    Kept,
}

/// How the next token is to be drawn: as [`crate::session::Sampling`], with what else it takes.
#[derive(Debug, Clone, Copy)]
pub struct DrawRequest<'a> {
    /// Divides (positive) or multiplies (negative) the logits of the ids in `recent`; 1 is off.
    pub repetition_penalty: f64,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Keeps the `k` likeliest tokens; 0 is off.
    pub top_k: usize,
    /// Keeps the likeliest tokens until their probabilities add up to this; 1 is off.
    pub top_p: f64,
    /// Keeps tokens at least this fraction as likely as the likeliest; 0 is off.
    pub min_p: f64,
    /// Ids that the penalty concerns.
    pub recent: &'a [u32],
    /// Ids that are never drawn.
    pub banned: &'a [u32],
    /// A random number from 0 to 1, without 1.
    pub uniform: f32,
}

impl DrawRequest<'_> {
    /// The likeliest token, whatever it is.
    pub fn greedy() -> Self {
        Self {
            repetition_penalty: 1.0,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            recent: &[],
            banned: &[],
            uniform: 0.0,
        }
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Its id.
    pub id: u32,
    /// Its log-probability in nats under the model itself (no penalty, temperature or filter).
    pub logprob: f64,
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

/// What a device has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernel launches.
    pub dispatches: u64,
    /// Submissions.
    pub submits: u64,
    /// Bytes read back.
    pub readback_bytes: u64,
    /// Buffers alive.
    pub buffers: u64,
    /// Their bytes.
    pub buffer_bytes: u64,
    /// Bytes of them that hold KV.
    pub kv_bytes: u64,
}

/// Time spent in one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTime {
    /// Kernel and variant.
    pub kernel: &'static str,
    /// Launches.
    pub launches: u64,
    /// Seconds in all of them.
    pub seconds: f64,
}

/// The error of a runner that cannot tell what attention asks for.
pub(crate) fn cannot_unfold() -> Error {
    Error::Argument("this device cannot unfold pages: leave --unfold out, or use --device cpu".to_owned())
}

/// The share of each page: `slots` are those of the memory's slots, the newest of which may be missing.
pub(crate) fn by_page(context: &Context, slots: &[f64]) -> Vec<f64> {
    let sum = |rows: std::ops::Range<usize>| {
        slots[rows.start.min(slots.len())..rows.end.min(slots.len())]
            .iter()
            .sum()
    };
    context.page_rows().map(sum).collect()
}

/// A model with one context. Positions and visibility are [`Context`]'s; the runner holds the matching KV.
///
/// What takes a device's time gives a [`Pending`] answer: await it, or outside a browser [`wait`](crate::Wait::wait) for it.
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
    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits>;

    /// Folds the open chunk into `pages[0]`, then appends the other pages, each as a segment of its own.
    ///
    /// The open chunk may be empty: a prompt's chunks are folded without running their text (unless
    /// `visual_sees_text`). Logits with [`Want::Last`] are those of the last page's last visual token.
    ///
    /// # Errors
    /// A text-only model, a full context, logits that are not finite. The context is then unchanged.
    fn fold<'a>(&'a mut self, pages: &'a [PageImage], want: Want) -> Pending<'a, Folded>;

    /// The token ids of the text on each page of the next [`Self::fold`]. Every caller says so before it folds; only models
    /// that read pages from their tokens ([`PageEncoder`](crate::config::PageEncoder)) make use of it.
    fn page_text(&mut self, _ids: &[Vec<u32>]) {}

    /// Reads `ids` again as text in front of the open chunk, which must be empty ([`Context::unfold`]): they are gone with
    /// it once it is folded or dropped. What they attend to is not added up, and what was added up before is forgotten.
    ///
    /// # Errors
    /// As [`Self::extend`]; a runner that cannot.
    fn unfold<'a>(&'a mut self, _ids: &'a [u32], _want: Want) -> Pending<'a, Logits> {
        ready(Err(cannot_unfold()))
    }

    /// From now on, or no longer, adds up how much of its attention text gives to the slots of memory. What was added up
    /// stays until [`Self::unfold`] or [`Self::reset`].
    ///
    /// # Errors
    /// A runner that cannot.
    fn watch_pages(&mut self, on: bool) -> Result<()> {
        if on { Err(cannot_unfold()) } else { Ok(()) }
    }

    /// What every page was given so far: softmax weights on its slots, summed over layers, heads and
    /// the tokens of [`Self::extend`]. Pages in order; a page that is newer than the text has nothing.
    ///
    /// # Errors
    /// A lost device.
    fn pages_asked(&mut self) -> Pending<'_, Vec<f64>> {
        ready(Ok(vec![0.0; self.context().page_rows().count()]))
    }

    /// Draws from the logits that [`Want::Kept`] left on the device. `None`: this runner keeps none, or cannot do what is
    /// asked; the caller then draws from [`Self::kept_logits`].
    ///
    /// # Errors
    /// Logits that are not finite, a lost device.
    fn draw<'a>(&'a mut self, _request: &'a DrawRequest<'_>) -> Pending<'a, Option<Drawn>> {
        ready(Ok(None))
    }

    /// The logits that [`Want::Kept`] left on the device, `[1, vocab]`; empty when there are none.
    ///
    /// # Errors
    /// As [`Self::draw`].
    fn kept_logits(&mut self) -> Pending<'_, Logits> {
        ready(Ok(Logits::default()))
    }

    /// After [`crate::Error::DeviceLost`]: gets a fresh device and forgets the context. `false`: this runner cannot.
    ///
    /// # Errors
    /// No device can be had, or the weights cannot be read again.
    fn recover(&mut self) -> Pending<'_, bool> {
        ready(Ok(false))
    }

    /// Makes room for `slots` slots before they are needed.
    ///
    /// # Errors
    /// The device cannot hold so many.
    fn reserve(&mut self, _slots: usize) -> Pending<'_, ()> {
        ready(Ok(()))
    }

    /// What the device has done so far, where it is counted.
    fn counts(&self) -> Option<Counts> {
        None
    }

    /// Time of every kernel so far, the slowest first, where it is measured.
    fn kernel_times(&self) -> Vec<KernelTime> {
        Vec::new()
    }

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

    /// Operations of matrix products done so far (two per multiply-add; norms and activations left out, as in
    /// [`crate::cost`]); `None` where they are not counted.
    fn flops(&self) -> Option<u64> {
        None
    }
}
