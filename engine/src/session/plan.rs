//! How a text that is given (not generated) is read: which operations, in which batches (spec section 3).

use super::driver::Driver;
use super::ops::{Op, PAGES_PER_BATCH, PartKind, divide};

/// Text tokens per extension when everything stays text: keeps the open buffer small.
pub(crate) const TEXT_BLOCK: usize = 128;

/// A stretch of given text.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    pub(crate) ids: Vec<u32>,
}

/// The operations that read `part` after what `driver` has read; `part.ids` must then join the driver's tokens.
pub(crate) fn plan(driver: &Driver, part: &Part) -> Vec<Op> {
    let mut ops = close_open(driver);
    ops.push(Op::Part { kind: part.kind });
    match driver.fold_config() {
        Some(fold) if part.kind != PartKind::Raw => {
            let (mut closed, mut tail) = divide(&part.ids, &driver.tokenizer, fold);
            if fold.folds_tail(tail) {
                closed.push(tail);
                tail = 0;
            }
            if fold.visual_sees_text {
                for (i, n) in closed.into_iter().enumerate() {
                    if i > 0 && fold.reread_tokens > 0 {
                        ops.push(Op::Unfold { pages: Vec::new() });
                    }
                    ops.extend([Op::Extend { tokens: n, times: 1 }, Op::Fold { tokens: vec![0] }]);
                }
            } else {
                // What the last chunk asks for is known only when its text is run; a raw tail is run in any case.
                let asking = if driver.unfolding.most > 0 && tail == 0 {
                    closed.pop()
                } else {
                    None
                };
                ops.extend(
                    closed
                        .chunks(PAGES_PER_BATCH)
                        .map(|batch| Op::Fold { tokens: batch.to_vec() }),
                );
                if let Some(n) = asking {
                    ops.extend([Op::Extend { tokens: n, times: 1 }, Op::Fold { tokens: vec![0] }]);
                }
            }
            if tail > 0 {
                ops.extend([Op::Extend { tokens: tail, times: 1 }, Op::Keep]);
            }
        }
        _ => {
            let mut left = part.ids.len();
            while left > 0 {
                let n = left.min(TEXT_BLOCK);
                ops.extend([Op::Extend { tokens: n, times: 1 }, Op::Keep]);
                left -= n;
            }
        }
    }
    ops
}

/// What becomes of an open response chunk when more text is given: the tail rule, as for prompts.
fn close_open(driver: &Driver) -> Vec<Op> {
    let open = driver.open_tokens();
    match driver.fold_config() {
        _ if open == 0 => Vec::new(),
        Some(fold) if fold.folds_tail(open) && driver.part != PartKind::Raw => vec![Op::Fold { tokens: vec![0] }],
        _ => vec![Op::Keep],
    }
}
