//! Text that is read again in front of a chunk: it is as if the chunk were longer, and leaves nothing behind.

use super::seen;
use folio_engine::context::{Context, Layout, Piece};
use proptest::prelude::*;

/// A finished chunk: tokens read again before it, its own, slots of its page (or the text stays).
fn chunks() -> impl Strategy<Value = Vec<(usize, usize, Option<usize>)>> {
    prop::collection::vec((0usize..20, 0usize..9, prop::option::of(1usize..5)), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_memory_does_not_know_of_it(chunks in chunks()) {
        let (mut with, mut without) = (Context::new(), Context::new());
        for (again, tokens, page) in chunks {
            let p = with.memory_slots();
            prop_assert_eq!(with.unfold(again), p..p + again);
            prop_assert_eq!(with.unfolded_slots(), again);
            prop_assert_eq!(with.extend(tokens), p + again..p + again + tokens);
            prop_assert_eq!((with.open_slots(), with.slots()), (again + tokens, p + again + tokens));
            without.extend(tokens);
            match page {
                Some(slots) => {
                    let (step, commit) = with.fold_step(&[slots], false);
                    prop_assert_eq!(step.position, p);
                    for (t, span) in step.spans.iter().enumerate() {
                        prop_assert!((0..step.row).all(|row| span.sees(row) == (row < p)), "{t} sees the memory only");
                    }
                    prop_assert!(commit.is_none_or(|commit| commit.to == p && commit.from.start >= with.slots()));
                    prop_assert_eq!(with.fold(slots), without.fold(slots));
                }
                None => {
                    // What is to stay is read once more where it belongs.
                    with.drop_open();
                    with.extend(tokens);
                    with.keep_open();
                    without.keep_open();
                }
            }
            prop_assert_eq!(&with, &without);
        }
        let mut end = 0;
        for rows in with.page_rows() {
            prop_assert!(rows.start >= end && rows.end <= with.memory_slots() && !rows.is_empty());
            end = rows.end;
        }
        let pages = with.segments().iter().filter(|s| s.kind == folio_engine::context::SegmentKind::Visual);
        prop_assert_eq!(with.page_rows().map(|rows| rows.len()).sum::<usize>(), pages.map(|s| s.slots).sum::<usize>());
    }

    /// A training layout has it as the beginning of the chunk's text: the same positions, the same visible slots.
    #[test]
    fn a_layout_has_it_as_text_of_the_chunk(memory in 1usize..9, again in 0usize..9, own in 0usize..6, visual in 1usize..5, next in 0usize..4) {
        let pieces = [
            Piece::Raw { tokens: memory },
            Piece::Folded { tokens: again + own, visual },
            Piece::Open { tokens: next },
        ];
        let layout = Layout::new(&pieces, false);
        let mut context = Context::new();
        context.extend(memory);
        context.keep_open();
        let positions = context.unfold(again).chain(context.extend(own)).chain(context.fold(visual)).chain(context.extend(next));
        let laid: Vec<usize> = layout.elements()[memory..].iter().map(|element| element.position).collect();
        prop_assert_eq!(positions.collect::<Vec<_>>(), laid);
        // Element memory + i is the chunk's text: the step-by-step span of rows is what it sees.
        let mut context = Context::new();
        context.extend(memory);
        context.keep_open();
        context.unfold(again);
        let step = context.extend_step(own);
        for (j, span) in step.spans.iter().enumerate() {
            let rows: Vec<usize> = (0..memory + again + own).filter(|&row| span.sees(row)).collect();
            prop_assert_eq!(rows, seen(&layout, memory + again + j).into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
#[should_panic(expected = "open tokens")]
fn only_where_a_chunk_begins() {
    let mut context = Context::new();
    context.extend(1);
    context.unfold(1);
}
