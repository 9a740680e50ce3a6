//! The journal: which runner operations shaped the present context, in order.
//!
//! Replaying a journal makes exactly the same runner calls (same batch composition), so the restored context is the
//! same bit for bit. Operations name token *counts*; the ids stand beside them in one list.

use serde::{Deserialize, Serialize};

use super::ContextMode;
use crate::config::{Config, FoldConfig};
use crate::page::{Tint, Typesetter};
use crate::text::{Chunker, Tokenizer};
use crate::{Error, Result};

/// Pages per fold call while a prompt is read: enough to fill the encoder's matmuls, few enough to bound memory.
pub(crate) const PAGES_PER_BATCH: usize = 8;

/// What a stretch of the document is. Every part is chunked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// Raw text for good: BOS, role markers.
    Raw,
    /// A prompt, on white pages.
    Prompt,
    /// A user or system turn, on grey pages.
    Turn,
    /// The model's own text, on white pages.
    Response,
}

impl PartKind {
    /// Background of the part's pages.
    pub(crate) fn tint(self) -> Tint {
        if self == Self::Turn { Tint::Grey } else { Tint::White }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Op {
    /// A new part begins, with a chunker of its own.
    Part { kind: PartKind },
    /// The next `tokens` tokens join the open chunk and are run as text; so `times` times.
    Extend { tokens: usize, times: usize },
    /// One fold call. Page `i` takes the next `tokens[i]` tokens without running them; the first takes the open chunk before.
    Fold { tokens: Vec<usize> },
    /// The open chunk stays as raw text.
    Keep,
    /// These pages (numbered from 0) are read again as text in front of the next chunk; of none, the end of the newest
    /// (`reread_tokens`).
    Unfold { pages: Vec<usize> },
}

impl Op {
    /// Tokens of the list that the operation consumes; `None` on overflow.
    pub(crate) fn tokens(&self) -> Option<usize> {
        match self {
            Self::Part { .. } | Self::Keep | Self::Unfold { .. } => Some(0),
            Self::Extend { tokens, times } => tokens.checked_mul(*times),
            Self::Fold { tokens } => tokens.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)),
        }
    }

    /// Whether the operation runs the model.
    pub(crate) fn computes(&self) -> bool {
        matches!(self, Self::Extend { .. } | Self::Fold { .. } | Self::Unfold { .. })
    }
}

/// Appends `op` to `ops`, counting equal extensions instead of listing them.
pub(crate) fn record(ops: &mut Vec<Op>, op: Op) {
    if let (Some(Op::Extend { tokens: last, times }), Op::Extend { tokens, times: more }) = (ops.last_mut(), &op)
        && last == tokens
    {
        *times += more;
        return;
    }
    ops.push(op);
}

/// A fresh chunker of the model's pages.
pub(crate) fn chunker(fold: &FoldConfig) -> Chunker {
    Chunker::new(Typesetter::new(fold), fold.chunk_tokens)
}

/// Where chunks of `ids` end: `(lengths of closed chunks, length of the tail)`.
pub(crate) fn divide(ids: &[u32], tokenizer: &Tokenizer, fold: &FoldConfig) -> (Vec<usize>, usize) {
    let mut chunker = chunker(fold);
    let mut closed = Vec::new();
    for &id in ids {
        let bytes = tokenizer.token_bytes(id);
        if !chunker.is_empty() && !chunker.fits(bytes) {
            closed.push(chunker.close().ids.len());
        }
        if chunker.push(id, bytes) {
            closed.push(chunker.close().ids.len());
        }
    }
    let tail = chunker.len();
    (closed, tail)
}

/// Checks that `ops` are a possible history over `tokens`: nothing that a hostile file says may reach a runner unchecked.
///
/// # Errors
/// What is wrong, as plain text.
pub(crate) fn check(
    ops: &[Op],
    tokens: &[u32],
    mode: ContextMode,
    config: &Config,
    tokenizer: &Tokenizer,
) -> Result<(), String> {
    let vocab = config.text.vocab_size;
    if let Some(id) = tokens.iter().find(|&&id| id as usize >= vocab) {
        return Err(format!("token id {id} is outside the vocabulary of {vocab}"));
    }
    if starts_with_bos(config, tokenizer) && tokens.first() != Some(&config.bos_token_id) {
        return Err("the tokens do not start with BOS".into());
    }
    let total = ops
        .iter()
        .try_fold(0usize, |sum, op| op.tokens().and_then(|n| sum.checked_add(n)));
    if total != Some(tokens.len()) {
        return Err("the operations do not add up to the tokens".into());
    }
    let fold = config.fold.as_ref().filter(|_| mode == ContextMode::Folded);
    let mut state = Check {
        tokens,
        tokenizer,
        chunker: None,
        fold,
        cursor: 0,
        open: 0,
        pages: 0,
        unfolded: false,
    };
    ops.iter().try_for_each(|op| state.apply(op))
}

struct Check<'a> {
    tokens: &'a [u32],
    tokenizer: &'a Tokenizer,
    fold: Option<&'a FoldConfig>,
    chunker: Option<Chunker>,
    cursor: usize,
    open: usize,
    /// Pages so far.
    pages: usize,
    /// Whether some of them are read again for the present chunk.
    unfolded: bool,
}

impl Check<'_> {
    fn apply(&mut self, op: &Op) -> Result<(), String> {
        if !matches!(op, Op::Extend { .. } | Op::Unfold { .. }) {
            self.unfolded = false;
        }
        match op {
            Op::Part { kind } => {
                if self.open > 0 && self.fold.is_some() {
                    return Err("a part begins inside an open chunk".into());
                }
                self.chunker = self.fold.filter(|_| *kind != PartKind::Raw).map(chunker);
            }
            Op::Extend { tokens, times } => {
                if *tokens == 0 || *times == 0 {
                    return Err("an empty extension".into());
                }
                self.take(tokens * times)?;
            }
            Op::Keep => {
                self.open = 0;
                self.chunker.iter_mut().for_each(|c| drop(c.close()));
            }
            Op::Fold { tokens } => {
                if tokens.is_empty() || tokens.len() > PAGES_PER_BATCH {
                    return Err(format!("a fold of {} pages", tokens.len()));
                }
                for &n in tokens {
                    self.take(n)?;
                    let Some(chunker) = self.chunker.as_mut().filter(|_| self.open > 0) else {
                        return Err("a fold where nothing can be folded".into());
                    };
                    chunker.close();
                    self.open = 0;
                    self.pages += 1;
                }
            }
            Op::Unfold { pages } => {
                let in_order = pages.is_sorted_by(|a, b| a < b);
                let rereads = self.fold.is_some_and(|fold| fold.reread_tokens > 0);
                if (pages.is_empty() && !rereads)
                    || self.pages == 0
                    || !in_order
                    || pages.last().is_some_and(|&last| last >= self.pages)
                {
                    return Err("pages are read again that are not there".into());
                }
                if self.open > 0 || self.unfolded || self.chunker.is_none() {
                    return Err("pages are read again where no chunk begins".into());
                }
                self.unfolded = true;
            }
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Result<(), String> {
        for &id in &self.tokens[self.cursor..self.cursor + n] {
            if let (Some(chunker), Some(fold)) = (&mut self.chunker, self.fold) {
                let bytes = self.tokenizer.token_bytes(id);
                if chunker.len() >= fold.chunk_tokens || (!chunker.is_empty() && !chunker.fits(bytes)) {
                    return Err("a chunk longer than its page".into());
                }
                chunker.push(id, bytes);
            }
        }
        self.cursor += n;
        self.open += n;
        Ok(())
    }
}

/// Whether a document starts with BOS: always where text is folded (spec section 3), and otherwise where the model was
/// trained so.
pub(crate) fn starts_with_bos(config: &Config, tokenizer: &Tokenizer) -> bool {
    config.fold.is_some() || tokenizer.adds_bos()
}

/// The error for asking a text-only model to fold.
pub(crate) fn cannot_fold() -> Error {
    Error::Argument(
        "this model is text-only and cannot fold: it has no vision encoder and aligner yet (training stages `ocr` and \
         `olm` of folio-train give them); use --context full"
            .into(),
    )
}
