//! Whole documents as one sequence: `[bos, c1, v1, c2, v2, …, cn]` with positions, visibility and targets.

/// One stretch of a document, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as raw slots (BOS, a short tail, role markers).
    Raw {
        /// Number of tokens.
        tokens: usize,
    },
    /// A chunk of text that is then folded into a page.
    Folded {
        /// Number of text tokens.
        tokens: usize,
        /// Number of visual tokens of its page (its ink, when blank patches are skipped).
        visual: usize,
    },
    /// A page without its text in the sequence: a prompt's chunk, whose text the model never runs.
    Page {
        /// Number of visual tokens.
        visual: usize,
    },
    /// The open chunk: only ever the last piece.
    Open {
        /// Number of tokens.
        tokens: usize,
    },
    /// The sliding-window control's chunk: its text stays, then the oldest slots go until no more are held than folding
    /// it into a page would hold. Positions go on.
    Windowed {
        /// Number of text tokens.
        tokens: usize,
        /// Number of visual tokens that its page would have.
        visual: usize,
    },
    /// The no-memory control's chunk: forgotten when it is over, as if the context had ended before it.
    Dropped {
        /// Number of text tokens.
        tokens: usize,
    },
}

/// What an element of the sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// A text token that stays in the context.
    Raw,
    /// A text token that only its own chunk (and, with `visual_sees_text`, its own page) sees.
    Text,
    /// A visual token.
    Visual,
}

/// One element of a laid-out sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// What it is.
    pub kind: ElementKind,
    /// Which [`Piece`] it belongs to.
    pub piece: usize,
    /// Its index among the text tokens (or among the visual tokens) of its piece.
    pub offset: usize,
    /// Its position index.
    pub position: usize,
}

impl Element {
    /// Whether the element's KV stays in the context for all later pieces.
    pub fn stays(&self) -> bool {
        self.kind != ElementKind::Text
    }

    /// Whether the element is a text token (raw or of a chunk).
    pub fn is_text(&self) -> bool {
        self.kind != ElementKind::Visual
    }
}

/// A laid-out document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    elements: Vec<Element>,
    predictor: Vec<Option<usize>>,
    memory: usize,
    visual_sees_text: bool,
    /// Of each piece, how much of its text each of its visual tokens sees; all where nothing is said.
    text_seen: Vec<Vec<usize>>,
    /// Of each piece: P, and how many of the slots below it are gone by then.
    pieces: Vec<(usize, usize)>,
}

impl Layout {
    /// Lays `pieces` out by the rules of spec section 3.
    ///
    /// # Panics
    /// If an [`Piece::Open`] is not the last piece.
    pub fn new(pieces: &[Piece], visual_sees_text: bool) -> Self {
        let mut layout = Self {
            elements: Vec::new(),
            predictor: Vec::new(),
            memory: 0,
            visual_sees_text,
            text_seen: Vec::new(),
            pieces: Vec::with_capacity(pieces.len()),
        };
        // What predicts the next token: the last element, or, when a chunk was forgotten, the last that stays.
        let (mut last, mut last_kept): (Option<usize>, Option<usize>) = (None, None);
        // Slots that a folded context holds, and how many of all slots are gone: more than none only in the control.
        let (mut held, mut gone) = (0, 0);
        for (piece, spec) in pieces.iter().enumerate() {
            let (raw, text, visual) = match *spec {
                Piece::Raw { tokens } | Piece::Windowed { tokens, .. } => (tokens, 0, 0),
                Piece::Dropped { tokens } => (0, tokens, 0),
                Piece::Folded { tokens, visual } => (0, tokens, visual),
                Piece::Page { visual } => (0, 0, visual),
                Piece::Open { tokens } => {
                    assert!(piece + 1 == pieces.len(), "the open chunk is the last piece");
                    (0, tokens, 0)
                }
            };
            let p = layout.memory;
            layout.pieces.push((p, gone));
            for (kind, n) in [
                (ElementKind::Raw, raw),
                (ElementKind::Text, text),
                (ElementKind::Visual, visual),
            ] {
                // A page's tokens overlap the text that they replace: both start at P.
                for offset in 0..n {
                    let index = layout.elements.len();
                    let is_text = kind != ElementKind::Visual;
                    layout.predictor.push(if is_text { last } else { None });
                    layout.elements.push(Element {
                        kind,
                        piece,
                        offset,
                        position: p + offset,
                    });
                    last = Some(index);
                    if kind != ElementKind::Text {
                        last_kept = last;
                    }
                }
            }
            layout.memory += raw + visual;
            held += match *spec {
                Piece::Windowed { visual, .. } => visual,
                _ => raw + visual,
            };
            match spec {
                Piece::Windowed { .. } => gone = gone.max(layout.memory.saturating_sub(held)),
                Piece::Dropped { .. } => last = last_kept,
                _ => {}
            }
        }
        layout
    }

    /// With less of a page's own text seen than `visual_sees_text` shows (training only): visual token `v` of piece `p` sees
    /// the first `seen[p][v]` tokens of it, all where nothing is said.
    #[must_use]
    pub fn with_text_seen(self, seen: Vec<Vec<usize>>) -> Self {
        Self {
            text_seen: seen,
            ..self
        }
    }

    /// The elements in sequence order.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The memory slots that element `query` sees, itself included if it is one: the elements that stay, in order, from
    /// the first number up to, but not with, the second.
    pub fn memory_seen(&self, query: usize) -> std::ops::Range<usize> {
        let q = &self.elements[query];
        let (p, gone) = self.pieces[q.piece];
        gone..if q.stays() { p + q.offset + 1 } else { p }
    }

    /// P after the last finished piece (in the sliding-window control: all slots there ever were).
    pub fn memory_slots(&self) -> usize {
        self.memory
    }

    /// Whether element `query` sees element `key` (itself included).
    pub fn sees(&self, query: usize, key: usize) -> bool {
        let (q, k) = (&self.elements[query], &self.elements[key]);
        if k.piece > q.piece {
            return false;
        }
        if k.piece < q.piece {
            // What stays is a slot, and its number is its position.
            return k.stays() && k.position >= self.pieces[q.piece].1;
        }
        match (q.kind, k.kind) {
            (ElementKind::Visual, ElementKind::Visual) => k.offset <= q.offset,
            (ElementKind::Visual, _) => {
                let most = self.text_seen.get(q.piece).and_then(|piece| piece.get(q.offset));
                self.visual_sees_text && most.is_none_or(|&most| k.offset < most)
            }
            (_, ElementKind::Visual) => false,
            _ => k.offset <= q.offset,
        }
    }

    /// The element whose output predicts text element `index`; `None` for visual tokens and for the very first token.
    ///
    /// Inside a chunk that is the token before; for the first token after a fold it is the page's last visual token;
    /// after a forgotten chunk it is the last element that stays.
    pub fn predictor(&self, index: usize) -> Option<usize> {
        self.predictor[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visual_token_sees_as_much_of_its_pages_text_as_is_said() {
        let (tokens, visual) = (4, 2);
        let pieces = [Piece::Folded { tokens, visual }, Piece::Folded { tokens, visual }];
        // Of each visual token, in order: the text tokens that it sees, as piece and offset.
        let seen = |layout: &Layout| -> Vec<Vec<(usize, usize)>> {
            let all = layout.elements();
            let visual = (0..all.len()).filter(|&q| all[q].kind == ElementKind::Visual);
            let texts = |q| (0..all.len()).filter(move |&k| all[k].kind == ElementKind::Text && layout.sees(q, k));
            visual
                .map(|q| texts(q).map(|k| (all[k].piece, all[k].offset)).collect())
                .collect()
        };
        let text = |piece, n| -> Vec<(usize, usize)> { (0..n).map(|offset| (piece, offset)).collect() };
        let all = Layout::new(&pieces, true);
        assert_eq!(seen(&all), [text(0, 4), text(0, 4), text(1, 4), text(1, 4)]);
        // Of the second page nothing is said but for its first visual token.
        let less = vec![vec![2, 4], vec![1]];
        assert_eq!(
            seen(&all.with_text_seen(less.clone())),
            [text(0, 2), text(0, 4), text(1, 1), text(1, 4)]
        );
        let none = Layout::new(&pieces, false).with_text_seen(less);
        assert_eq!(seen(&none), vec![Vec::new(); 4], "nothing more than without it");
    }
}
