//! Spec section 3 in its own words, one element at a time, over a list of live slots with identities.

use folio_engine::context::{Context, Piece};
use std::collections::BTreeSet;

/// One element as it was run.
pub(super) struct Ran {
    pub(super) piece: usize,
    pub(super) text: bool,
    pub(super) position: usize,
    pub(super) sees: BTreeSet<usize>,
    pub(super) predictor: Option<usize>,
}

/// A run document.
pub(super) struct Run {
    pub(super) elements: Vec<Ran>,
    /// The elements whose KV is held at the end by finished segments: slot index = place in this list.
    pub(super) live: Vec<usize>,
    pub(super) context: Context,
}

/// Runs a document, giving the open chunk `batch` tokens at a time; panics where [`Context`] disagrees on positions.
pub(super) fn simulate(pieces: &[Piece], visual_sees_text: bool, batch: usize) -> Run {
    let mut run = Run {
        elements: Vec::new(),
        live: Vec::new(),
        context: Context::new(),
    };
    for (piece, spec) in pieces.iter().enumerate() {
        match *spec {
            Piece::Raw { tokens } => {
                let open = run.text(piece, tokens, batch);
                run.context.keep_open();
                run.live.extend(open);
            }
            Piece::Folded { tokens, visual } => {
                let open = run.text(piece, tokens, batch);
                run.page(piece, &open, visual, visual_sees_text);
            }
            Piece::Page { visual } => run.page(piece, &[], visual, visual_sees_text),
            Piece::Windowed { .. } | Piece::Dropped { .. } => panic!("the controls have a test of their own"),
            Piece::Open { tokens } => {
                run.text(piece, tokens, batch);
                assert_eq!(run.context.open_slots(), tokens);
            }
        }
        assert_eq!(run.context.memory_slots(), run.live.len());
    }
    run
}

impl Run {
    /// "Token j of the open chunk sits at position P + j. It sees every slot below P and the open chunk causally."
    fn text(&mut self, piece: usize, tokens: usize, batch: usize) -> Vec<usize> {
        let p = self.live.len();
        let mut open = Vec::new();
        while open.len() < tokens {
            let now = batch.min(tokens - open.len());
            for position in self.context.extend(now) {
                assert_eq!(position, p + open.len());
                let id = self.elements.len();
                open.push(id);
                let sees = self.live.iter().chain(&open).copied().collect();
                // What was run last predicts this token; nothing was before the first.
                let predictor = id.checked_sub(1);
                self.elements.push(Ran {
                    piece,
                    text: true,
                    position,
                    sees,
                    predictor,
                });
            }
        }
        assert_eq!(self.context.slots(), p + tokens);
        open
    }

    /// "Its page's visual tokens sit at positions P … P+β−1. Visual token t sees every slot below P and visual tokens
    /// 0..t of its own page. With `visual_sees_text` it also sees the whole open chunk's text. Then the text KV is
    /// dropped, the segment is appended, P += β."
    fn page(&mut self, piece: usize, open: &[usize], visual: usize, visual_sees_text: bool) {
        let p = self.live.len();
        let before = self.context.fold_positions(visual);
        let positions = self.context.fold(visual);
        assert_eq!(before, positions);
        assert_eq!(positions, p..p + visual);
        let mut page = Vec::new();
        for position in positions {
            let id = self.elements.len();
            page.push(id);
            let mut sees: BTreeSet<usize> = self.live.iter().chain(&page).copied().collect();
            if visual_sees_text {
                sees.extend(open);
            }
            self.elements.push(Ran {
                piece,
                text: false,
                position,
                sees,
                predictor: None,
            });
        }
        self.live.extend(page);
        assert_eq!((self.context.open_slots(), self.context.slots()), (0, self.live.len()));
    }
}
