//! Spec section 3, held against itself: the step-by-step [`Context`], the training [`Layout`] and a simulator that
//! follows the spec's words give the same positions and the same visible sets.

mod controls;
mod eviction;
mod simulator;
mod spans;
mod unfolding;

use folio_engine::context::{ElementKind, Layout, Piece};
use proptest::prelude::*;
use simulator::simulate;
use std::collections::BTreeSet;

/// A document: BOS (or not), then chunks, pages without text and raw stretches in any order, perhaps an open chunk.
/// A page's visual count varies as it does when blank patches are skipped.
fn documents() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        3 => (0usize..9, 1usize..5).prop_map(|(tokens, visual)| Piece::Folded { tokens, visual }),
        1 => (1usize..5).prop_map(|visual| Piece::Page { visual }),
        1 => (1usize..5).prop_map(|tokens| Piece::Raw { tokens }),
    ];
    let open = prop::option::of((0usize..7).prop_map(|tokens| Piece::Open { tokens }));
    (0usize..2, proptest::collection::vec(piece, 0..7), open).prop_map(|(bos, middle, open)| {
        let start = (bos > 0).then_some(Piece::Raw { tokens: 1 });
        start.into_iter().chain(middle).chain(open).collect()
    })
}

fn seen(layout: &Layout, query: usize) -> BTreeSet<usize> {
    (0..layout.elements().len())
        .filter(|&key| layout.sees(query, key))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn step_by_step_and_in_one_sequence(
        pieces in documents(),
        visual_sees_text in any::<bool>(),
        batch in 1usize..5,
    ) {
        let layout = Layout::new(&pieces, visual_sees_text);
        let run = simulate(&pieces, visual_sees_text, batch);
        prop_assert_eq!(layout.elements().len(), run.elements.len());
        for (i, (element, right)) in layout.elements().iter().zip(&run.elements).enumerate() {
            prop_assert_eq!(element.position, right.position, "position of {}", i);
            prop_assert_eq!(element.is_text(), right.text, "kind of {}", i);
            prop_assert_eq!(element.piece, right.piece, "piece of {}", i);
            prop_assert_eq!(seen(&layout, i), right.sees.clone(), "what {} sees in {:?}", i, pieces);
            prop_assert_eq!(layout.predictor(i), right.predictor, "predictor of {}", i);
        }
        prop_assert_eq!(layout.memory_slots(), run.context.memory_slots());
        let stays: Vec<usize> =
            (0..run.elements.len()).filter(|&i| layout.elements()[i].stays()).collect();
        prop_assert_eq!(stays, run.live, "what stays is what is live at the end");
    }

    /// The output that predicts a token knows exactly the context that the token stands in.
    #[test]
    fn predictors_see_the_context(pieces in documents(), visual_sees_text in any::<bool>()) {
        let layout = Layout::new(&pieces, visual_sees_text);
        let elements = layout.elements();
        for (i, element) in elements.iter().enumerate().filter(|(_, element)| element.is_text()) {
            let Some(predictor) = layout.predictor(i) else {
                prop_assert_eq!(i, 0, "only the first element has none");
                continue;
            };
            prop_assert_eq!(predictor + 1, i);
            let mut context = seen(&layout, i);
            context.remove(&i);
            let mut known = seen(&layout, predictor);
            // With `visual_sees_text` a page has also seen the text that it replaced, which is gone for the token.
            if elements[predictor].kind == ElementKind::Visual && visual_sees_text {
                let page = elements[predictor].piece;
                known.retain(|&key| elements[key].piece != page || elements[key].stays());
            }
            prop_assert_eq!(known, context, "{} predicts {}", predictor, i);
            if element.offset > 0 {
                prop_assert_eq!(elements[predictor].piece, element.piece);
            }
        }
    }

    /// No element sees two keys at one position, but that a page may see the text that it overlaps.
    #[test]
    fn positions_are_slots(pieces in documents(), visual_sees_text in any::<bool>()) {
        let layout = Layout::new(&pieces, visual_sees_text);
        for (i, element) in layout.elements().iter().enumerate() {
            let kept = |key: &usize| element.is_text() || !layout.elements()[*key].is_text() || layout.elements()[*key].stays();
            let positions: Vec<usize> =
                seen(&layout, i).into_iter().filter(kept).map(|key| layout.elements()[key].position).collect();
            prop_assert_eq!(positions, (0..=element.position).collect::<Vec<_>>(), "{} sees every slot up to its own", i);
        }
    }
}

#[test]
fn the_spec_example_by_hand() {
    // [bos, c1 = 2 tokens, v1 = 1, raw tail of 1, open = 2 tokens]
    let pieces = [
        Piece::Raw { tokens: 1 },
        Piece::Folded { tokens: 2, visual: 1 },
        Piece::Raw { tokens: 1 },
        Piece::Open { tokens: 2 },
    ];
    for (visual_sees_text, page_sees) in [(false, vec![0, 3]), (true, vec![0, 1, 2, 3])] {
        let layout = Layout::new(&pieces, visual_sees_text);
        let positions: Vec<usize> = layout.elements().iter().map(|element| element.position).collect();
        assert_eq!(positions, [0, 1, 2, 1, 2, 3, 4]);
        let sets = [
            vec![0],
            vec![0, 1],
            vec![0, 1, 2],
            page_sees,
            vec![0, 3, 4],
            vec![0, 3, 4, 5],
            vec![0, 3, 4, 5, 6],
        ];
        for (i, set) in sets.into_iter().enumerate() {
            assert_eq!(seen(&layout, i), set.into_iter().collect(), "element {i}");
        }
        let predictors: Vec<Option<usize>> = (0..7).map(|i| layout.predictor(i)).collect();
        assert_eq!(predictors, [None, Some(0), Some(1), None, Some(3), Some(4), Some(5)]);
        assert_eq!(layout.memory_slots(), 3);
    }
}

#[test]
#[should_panic(expected = "open chunk is the last piece")]
fn an_open_chunk_in_the_middle_is_refused() {
    Layout::new(&[Piece::Open { tokens: 1 }, Piece::Raw { tokens: 1 }], false);
}
