//! The controls' layouts against the same steps on a [`Context`], as scoring takes them.

use super::seen;
use folio_engine::context::{Context, Layout, Piece};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// BOS, chunks of one control with raw stretches between them, an open chunk.
fn documents() -> impl Strategy<Value = Vec<Piece>> {
    let document = |windowed: bool| {
        let chunk = (1usize..9, 1usize..12).prop_map(move |(tokens, visual)| match windowed {
            true => Piece::Windowed { tokens, visual },
            false => Piece::Dropped { tokens },
        });
        let piece = prop_oneof![4 => chunk, 1 => (1usize..4).prop_map(|tokens| Piece::Raw { tokens })];
        (proptest::collection::vec(piece, 0..8), 0usize..6).prop_map(|(middle, tokens)| {
            let bos = [Piece::Raw { tokens: 1 }];
            bos.into_iter()
                .chain(middle)
                .chain([Piece::Open { tokens }])
                .collect::<Vec<_>>()
        })
    };
    prop_oneof![document(true), document(false)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn controls_are_laid_out_as_they_are_scored(pieces in documents()) {
        let layout = Layout::new(&pieces, false);
        let mut context = Context::new();
        // The elements in the context's slots, what folding would hold, and what predicts the next token.
        let (mut live, mut held, mut next): (Vec<usize>, usize, Option<usize>) = (Vec::new(), 0, None);
        let mut element = 0;
        for spec in &pieces {
            let (Piece::Raw { tokens } | Piece::Open { tokens } | Piece::Windowed { tokens, .. } | Piece::Dropped { tokens }) =
                *spec else { unreachable!("not made above") };
            let mut open = Vec::new();
            for _ in 0..tokens {
                open.push(element);
                prop_assert_eq!(layout.elements()[element].position, context.extend(1).start);
                let sees: BTreeSet<usize> = live.iter().chain(&open).copied().collect();
                prop_assert_eq!(seen(&layout, element), sees, "what {} sees in {:?}", element, pieces);
                prop_assert_eq!(layout.predictor(element), next);
                next = Some(element);
                element += 1;
            }
            match *spec {
                Piece::Raw { .. } => {
                    context.keep_open();
                    live.extend(&open);
                    held += tokens;
                }
                Piece::Windowed { visual, .. } => {
                    context.keep_open();
                    live.extend(&open);
                    held += visual;
                    let surplus = context.memory_slots().saturating_sub(held);
                    context.evict(surplus);
                    live.drain(..surplus);
                    prop_assert!(live.len() <= held);
                }
                Piece::Dropped { .. } => {
                    context.drop_open();
                    next = live.last().copied();
                }
                _ => {}
            }
        }
        prop_assert_eq!(layout.elements().len(), element);
    }

    #[test]
    fn the_range_of_memory_is_what_is_seen_of_it(pieces in documents(), folded in super::documents(), text in any::<bool>()) {
        for pieces in [pieces, folded] {
            let layout = Layout::new(&pieces, text);
            let memory: Vec<usize> = (0..layout.elements().len()).filter(|&i| layout.elements()[i].stays()).collect();
            for query in 0..layout.elements().len() {
                let sees: Vec<usize> = memory.iter().copied().filter(|&key| layout.sees(query, key)).collect();
                prop_assert_eq!(&memory[layout.memory_seen(query)], sees.as_slice(), "{} in {:?}", query, pieces);
            }
        }
    }
}
