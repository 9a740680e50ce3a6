//! `visual_attention`, `attention_merge`, `ask_rows` and `ask_slots`.

use super::values::{Values, poison};
use super::{Launch, check, property};
use folio_engine::context::{Context, Span};
use folio_shaders::{Style, ask_rows, ask_slots, attention_merge, visual_attention};
use proptest::prelude::*;
use proptest::sample::select;

/// What the queries of a launch see.
#[derive(Debug, Clone)]
enum Seen {
    /// Text after a memory of so many slots and an open chunk of so many tokens.
    Text(usize, usize),
    /// Pages of so many patches each after a memory and an open chunk, which the first page sees or not.
    Fold(usize, usize, Vec<usize>, bool),
    /// The patches of pages: each sees its page.
    Pages(Vec<usize>),
    /// Random ranges below and from a slot on; of the second, none at all.
    Random(usize, usize, bool, bool),
}

impl Seen {
    fn spans(&self, queries: usize, values: &mut Values) -> Vec<Span> {
        let context = |memory, open| {
            let mut context = Context::new();
            context.extend(memory);
            context.keep_open();
            context.extend(open);
            context
        };
        match self {
            Self::Text(memory, open) => context(*memory, *open).extend_step(queries).spans,
            Self::Fold(memory, open, pages, sees) => context(*memory, *open).fold_step(pages, *sees).0.spans,
            Self::Pages(pages) => {
                let mut spans = Vec::new();
                for &n in pages {
                    let start = spans.len();
                    let span = Span {
                        first: (start, start + n),
                        second: (0, 0),
                    };
                    spans.extend(std::iter::repeat_n(span, n));
                }
                spans
            }
            Self::Random(below, above, first, second) => {
                let mut range = |from: usize, n: usize, some: bool| {
                    let a = values.below(n);
                    let b = a + 1 + values.below(n - a);
                    if some { (from + a, from + b) } else { (0, 0) }
                };
                (0..queries)
                    .map(|_| Span {
                        first: range(0, *below, *first || !second),
                        second: range(*below, *above, *second),
                    })
                    .collect()
            }
        }
    }
}

fn seen() -> impl Strategy<Value = Seen> {
    let sizes = select(vec![0usize, 1, 3, 5, 31, 33, 65, 129]);
    let pages = || prop::collection::vec(select(vec![1usize, 2, 3, 8, 17]), 1..4);
    prop_oneof![
        (sizes.clone(), sizes.clone()).prop_map(|(m, o)| Seen::Text(m, o)),
        (sizes.clone(), sizes, pages(), any::<bool>()).prop_map(|(m, o, p, sees)| Seen::Fold(m, o, p, sees)),
        pages().prop_map(Seen::Pages),
        (1usize..80, 1usize..80, any::<bool>(), any::<bool>()).prop_map(|(a, b, f, s)| Seen::Random(a, b, f, s)),
    ]
}

#[test]
fn visual_attention_is_its_twin() {
    let strategy = |styles| {
        let heads = (
            select(vec![1usize, 2, 3, 4, 9]),
            1usize..4,
            select(vec![4usize, 8, 12, 20, 32, 64, 68, 128, 192, 256]),
        );
        let queries = select(vec![1usize, 1, 2, 3, 4, 5, 8, 9, 17, 33, 70]);
        (
            styles,
            seen(),
            queries,
            heads,
            select(vec![1usize, 1, 2, 3, 8, 32]),
            any::<bool>(),
            any::<u64>(),
        )
    };
    property(
        "visual_attention_is_its_twin",
        96,
        strategy,
        |machine, (style, seen, queries, (group, kv_heads, dim), splits, fused, seed)| {
            let mut values = Values::new(seed);
            let spans = seen.spans(queries, &mut values);
            let queries = spans.len();
            let slots = spans.iter().map(|s| s.first.1.max(s.second.1)).max().unwrap_or(0);
            let heads = group * kv_heads;
            let (q, kv) = (heads * dim, kv_heads * dim);
            // As the decoder lays them out, or all in one row as the encoder does.
            let (q_row, kv_row, k_at, v_at) = if fused {
                (q + 2 * kv, q + 2 * kv, q, q + kv)
            } else {
                (q, kv, 0, 0)
            };
            let params = visual_attention::Params {
                queries: queries as u32,
                heads: heads as u32,
                group: group as u32,
                head_dim4: (dim / 4) as u32,
                q_stride4: (q_row / 4) as u32,
                q_offset4: 0,
                kv_stride4: (kv_row / 4) as u32,
                k_offset4: (k_at / 4) as u32,
                v_offset4: (v_at / 4) as u32,
                splits: splits as u32,
                scale: 3.0 / (dim as f32).sqrt(),
                ..Default::default()
            };
            let words = spans
                .iter()
                .flat_map(|s| [s.first.0, s.first.1, s.second.0, s.second.1]);
            let bindings = visual_attention::Bindings {
                q: values.floats(queries * q_row),
                k: values.floats(slots * kv_row),
                v: values.floats(slots * kv_row),
                spans: words.map(|w| w as u32).collect(),
                y: poison(queries * heads * splits * dim),
                stats: poison(2 * queries * heads * splits),
            };
            let call = visual_attention::call(style, params, bindings);
            // Tiles of (query, head) pairs that share a key head.
            let tiles = (queries * group).div_ceil(call.kernel.constant("ROWS") as usize);
            let grid = match Style::of(call.kernel) {
                Some(Style::Serial) => {
                    let lanes = call.kernel.constant("LANES") as usize;
                    [(tiles * kv_heads * splits).div_ceil(lanes), 1, 1]
                }
                _ => [tiles, kv_heads, splits],
            };
            check(machine, &Launch { call, grid }, 2e-5)
        },
    );
}

#[test]
fn attention_merge_is_its_twin() {
    let strategy = |_| {
        (
            1usize..20,
            1usize..33,
            select(vec![1usize, 2, 3, 8, 17, 64]),
            any::<u64>(),
        )
    };
    property(
        "attention_merge_is_its_twin",
        32,
        strategy,
        |machine, (rows, splits, dim4, seed)| {
            let mut values = Values::new(seed);
            let mut stats = Vec::new();
            for _ in 0..rows {
                let some = values.below(splits);
                for split in 0..splits {
                    // A split that saw nothing, but never all of them.
                    let empty = split != some && values.below(4) == 0;
                    let score = 20.0 * f32::from_bits(values.floats(1)[0]);
                    let sum = 1.0 + values.below(50) as f32;
                    stats.extend(if empty { [-1e30f32, 0.0] } else { [score, sum] });
                }
            }
            let params = attention_merge::Params {
                rows: rows as u32,
                splits: splits as u32,
                head_dim4: dim4 as u32,
                ..Default::default()
            };
            let bindings = attention_merge::Bindings {
                parts: values.floats(rows * splits * 4 * dim4),
                stats: stats.iter().map(|s| s.to_bits()).collect(),
                y: poison(rows * 4 * dim4),
            };
            let call = attention_merge::call(params, bindings);
            check(
                machine,
                &Launch {
                    call,
                    grid: [(rows * dim4).div_ceil(64), 1, 1],
                },
                1e-5,
            )
        },
    );
}

fn asking() -> impl Strategy<Value = (usize, usize, usize, usize, u64)> {
    (
        select(vec![1usize, 1, 2, 3, 9, 33]),
        select(vec![1usize, 2, 3, 4]),
        1usize..4,
        select(vec![4usize, 8, 20, 64, 128, 256]),
        any::<u64>(),
    )
}

#[test]
fn ask_rows_is_its_twin() {
    let strategy = |styles| (styles, seen(), asking());
    property(
        "ask_rows_is_its_twin",
        64,
        strategy,
        |machine, (style, seen, (queries, group, kv_heads, dim, seed))| {
            let mut values = Values::new(seed);
            let spans = seen.spans(queries, &mut values);
            let (queries, heads) = (spans.len(), group * kv_heads);
            let slots = spans.iter().map(|s| s.first.1.max(s.second.1)).max().unwrap_or(0);
            let params = ask_rows::Params {
                queries: queries as u32,
                heads: heads as u32,
                group: group as u32,
                head_dim4: (dim / 4) as u32,
                scale: 3.0 / (dim as f32).sqrt(),
                ..Default::default()
            };
            let words = spans
                .iter()
                .flat_map(|s| [s.first.0, s.first.1, s.second.0, s.second.1]);
            let bindings = ask_rows::Bindings {
                q: values.floats(queries * heads * dim),
                k: values.floats(slots * kv_heads * dim),
                spans: words.map(|w| w as u32).collect(),
                softmax: poison(2 * queries * heads),
            };
            let call = ask_rows::call(style, params, bindings);
            let grid = [(queries * heads).div_ceil(call.kernel.constant("ROWS") as usize), 1, 1];
            check(machine, &Launch { call, grid }, 2e-5)
        },
    );
}

#[test]
fn ask_slots_is_its_twin() {
    let strategy = |_| (asking(), select(vec![1usize, 3, 63, 64, 65, 200]));
    property(
        "ask_slots_is_its_twin",
        48,
        strategy,
        |machine, ((queries, group, kv_heads, dim, seed), slots)| {
            let mut values = Values::new(seed);
            let heads = group * kv_heads;
            // Scores are at most a few units: sums are those of some dozens of slots.
            let mut softmax = Vec::new();
            for _ in 0..queries * heads {
                softmax.extend([3.0f32.to_bits(), (1.0 + values.below(30) as f32).to_bits()]);
            }
            let params = ask_slots::Params {
                queries: queries as u32,
                heads: heads as u32,
                group: group as u32,
                head_dim4: (dim / 4) as u32,
                slots: slots as u32,
                scale: 1.0 / (dim as f32).sqrt(),
                ..Default::default()
            };
            let bindings = ask_slots::Bindings {
                q: values.floats(queries * heads * dim),
                k: values.floats(slots * kv_heads * dim),
                softmax,
                // One more: what is no slot of the memory stays as it is.
                asked: values.floats(slots + 1),
            };
            let call = ask_slots::call(params, bindings);
            check(
                machine,
                &Launch {
                    call,
                    grid: [slots.div_ceil(64), 1, 1],
                },
                1e-5,
            )
        },
    );
}
