//! Visibility as spans of KV rows: what a kernel needs to know of section 3, and nothing else.

use super::Context;
use std::ops::Range;

/// The KV rows that one new element sees: two ranges that do not overlap. An empty one is `(0, 0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Start and end of the first range.
    pub first: (usize, usize),
    /// Start and end of the second range.
    pub second: (usize, usize),
}

impl Span {
    /// Number of rows seen.
    pub fn len(&self) -> usize {
        (self.first.1 - self.first.0) + (self.second.1 - self.second.0)
    }

    /// Whether nothing is seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether KV row `row` is seen.
    pub fn sees(&self, row: usize) -> bool {
        (self.first.0..self.first.1).contains(&row) || (self.second.0..self.second.1).contains(&row)
    }
}

/// Where new elements go and what they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Position of the first; the others follow.
    pub position: usize,
    /// KV row of the first; the others follow.
    pub row: usize,
    /// One per element.
    pub spans: Vec<Span>,
}

/// How visual tokens get from where they are computed to where they belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// KV rows of the visual tokens as computed.
    pub from: Range<usize>,
    /// First KV row of their place: P.
    pub to: usize,
}

impl Context {
    /// `n` text tokens that join the open chunk: token `j` sees every slot below P and the open chunk causally.
    pub fn extend_step(&self, n: usize) -> Step {
        let row = self.slots();
        Step {
            position: self.next_position(),
            row,
            spans: (row..row + n)
                .map(|own| Span {
                    first: (0, own + 1),
                    second: (0, 0),
                })
                .collect(),
        }
    }

    /// The visual tokens of pages that take `slots` each; the first page folds the open chunk, the others follow it.
    ///
    /// While text is open, the visual KV is computed beside it and must be moved over it when it is done: see
    /// [`Commit`]. The two places never overlap.
    pub fn fold_step(&self, slots: &[usize], visual_sees_text: bool) -> (Step, Option<Commit>) {
        let (memory, open) = (self.memory_slots(), self.open_slots());
        let total: usize = slots.iter().sum();
        let row = if open == 0 { memory } else { memory + open.max(total) };
        // Later pages come after the fold that dropped the text: only the first may see it.
        let sees_text = if visual_sees_text {
            slots.first().copied().unwrap_or(0)
        } else {
            0
        };
        let spans = (0..total)
            .map(|t| Span {
                first: (0, if t < sees_text { memory + open } else { memory }),
                second: (row, row + t + 1),
            })
            .collect();
        let step = Step {
            position: self.fold_positions(total).start,
            row,
            spans,
        };
        let commit = (row != memory).then(|| Commit {
            from: row..row + total,
            to: memory,
        });
        (step, commit)
    }

    /// KV rows that [`Self::fold_step`] needs.
    pub fn fold_rows(&self, slots: &[usize]) -> usize {
        let (step, _) = self.fold_step(slots, false);
        step.row + step.spans.len()
    }
}
