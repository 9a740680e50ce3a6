//! What a session tells its listener.

use serde::Serialize;

use super::Stats;
use crate::page::PageImage;

/// One thing that happened. A session is a pull iterator of these; to cancel, call [`super::Session::cancel`], or stop pulling.
#[derive(Debug, Clone)]
pub enum Event {
    /// Prompt (or restored session) being read.
    Loading {
        /// Tokens read so far.
        done: usize,
        /// Tokens to read.
        total: usize,
    },
    /// A token of the response.
    Token {
        /// Its id.
        id: u32,
        /// Text that became complete with it: may be empty, may belong to earlier tokens.
        text: String,
        /// Log-probability in nats under the model.
        logprob: f64,
    },
    /// A page was drawn and is now part of the context.
    Page {
        /// Number of the page, from 0.
        index: usize,
        /// The text that it replaces.
        text: String,
        /// The image that the model saw.
        image: PageImage,
    },
    /// The page's text was folded.
    Folded {
        /// Number of the page.
        index: usize,
        /// Text tokens that the page stands for.
        tokens: usize,
        /// Slots that the page takes.
        slots: usize,
        /// All slots held after the fold (of the last page, when several fold at once).
        context_slots: usize,
    },
    /// Pages were read again as text, for the chunk that comes next.
    Unfolded {
        /// Numbers of the pages, from 0.
        pages: Vec<usize>,
        /// Tokens that were read again: of the pages, and the last ones before the chunk.
        tokens: usize,
        /// All slots held then.
        context_slots: usize,
    },
    /// Figures of the run.
    Stats(Stats),
    /// The end; nothing follows.
    Done {
        /// Why.
        reason: FinishReason,
        /// Text that had been withheld as a possible beginning of a stop string or as an incomplete character.
        text: String,
    },
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The wanted number of tokens was written.
    Length,
    /// The model ended its text.
    Eos,
    /// A stop string came.
    Stop,
    /// Every slot that the model has is taken.
    ContextFull,
    /// The listener broke off.
    Cancelled,
}
