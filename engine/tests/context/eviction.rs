//! The controls' bookkeeping: forgetting the oldest slots, forgetting the open chunk.

use folio_engine::context::{Context, SegmentKind};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Extend(usize),
    Fold(usize),
    Keep,
    Drop,
    /// A fraction of what finished segments hold.
    Evict(f64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..6).prop_map(Step::Extend),
        2 => (0usize..5).prop_map(Step::Fold),
        1 => Just(Step::Keep),
        1 => Just(Step::Drop),
        2 => (0.0f64..=1.0).prop_map(Step::Evict),
    ];
    proptest::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Against a plain list of the slots held: kind and position of each.
    #[test]
    fn the_context_is_a_list_of_slots(steps in steps()) {
        let mut context = Context::new();
        let (mut held, mut open, mut next): (Vec<(SegmentKind, usize)>, usize, usize) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Extend(n) => {
                    prop_assert_eq!(context.extend(n), next + open..next + open + n);
                    open += n;
                }
                Step::Fold(n) => {
                    prop_assert_eq!(context.fold(n), next..next + n);
                    held.extend((next..next + n).map(|position| (SegmentKind::Visual, position)));
                    (next, open) = (next + n, 0);
                }
                Step::Keep => {
                    context.keep_open();
                    held.extend((next..next + open).map(|position| (SegmentKind::Text, position)));
                    (next, open) = (next + open, 0);
                }
                Step::Drop => {
                    context.drop_open();
                    open = 0;
                }
                Step::Evict(part) => {
                    let n = (part * held.len() as f64) as usize;
                    context.evict(n);
                    held.drain(..n);
                }
            }
            prop_assert_eq!(context.memory_slots(), held.len());
            prop_assert_eq!(context.open_slots(), open);
            prop_assert_eq!(context.slots(), held.len() + open);
            prop_assert_eq!(context.next_position(), next + open, "positions go on as if nothing had been evicted");
            let kinds: Vec<SegmentKind> =
                context.segments().iter().flat_map(|s| std::iter::repeat_n(s.kind, s.slots)).collect();
            prop_assert_eq!(kinds, held.iter().map(|slot| slot.0).collect::<Vec<_>>());
            prop_assert!(context.segments().iter().all(|segment| segment.slots > 0), "no empty segment is kept");
            // KV index = position − evicted: the newest slots are those left, without a gap.
            let evicted = next - held.len();
            prop_assert!(held.iter().enumerate().all(|(index, slot)| slot.1 == index + evicted));
            prop_assert_eq!(context.fold_positions(2), next..next + 2);
        }
    }
}

#[test]
#[should_panic(expected = "evicting 3 of 2 slots")]
fn what_is_not_held_cannot_be_evicted() {
    let mut context = Context::new();
    context.fold(2);
    context.extend(5);
    context.evict(3);
}

#[test]
fn no_memory_keeps_bos_and_the_open_chunk() {
    let mut context = Context::new();
    context.extend(1);
    context.keep_open();
    for _ in 0..3 {
        assert_eq!(context.extend(128), 1..129);
        context.drop_open();
    }
    assert_eq!((context.slots(), context.next_position()), (1, 1));
}
