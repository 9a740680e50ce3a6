use super::*;
use crate::visual_attention::{self, Bindings, Params};
use crate::{ask_rows, ask_slots, attention_merge};
use proptest::prelude::*;

const Y: usize = 4;

/// One query of one head of four dimensions over `k` and `v` ([slots, 4]), one split.
fn one(k: &[f32], v: &[f32], span: [u32; 4]) -> Vec<f32> {
    let params = Params {
        queries: 1,
        heads: 1,
        group: 1,
        head_dim4: 1,
        q_stride4: 1,
        kv_stride4: 1,
        splits: 1,
        scale: 1.0,
        ..Default::default()
    };
    let mut out = Vec::new();
    for style in [Style::Serial, Style::Plain] {
        let bindings = Bindings {
            q: words(&[1.0f32, 0.0, 0.0, 0.0]),
            k: words(k),
            v: words(v),
            spans: words(&span),
            y: poison(4),
            stats: poison(2),
        };
        let call = visual_attention::call(style, params, bindings);
        out.push(floats(call, [1, 1, 1], Y));
    }
    assert_eq!(out[0], out[1], "serial and plain");
    out.swap_remove(0)
}

#[test]
fn softmax_of_scores() {
    // Scores ln 1 and ln 3: weights 1/4 and 3/4.
    let k = [0.0, 9.0, 9.0, 9.0, 3f32.ln(), 9.0, 9.0, 9.0];
    let v = [4.0, 0.0, 0.0, 8.0, 0.0, 4.0, 0.0, 8.0];
    assert_close(&one(&k, &v, [0, 2, 0, 0]), &[1.0, 3.0, 0.0, 8.0]);
}

#[test]
fn only_the_span_is_seen() {
    // Equal scores: the mean of what is seen. Unseen slots hold NaN.
    let seen = [false, true, true, false, false, true];
    let (mut k, mut v) = (Vec::new(), Vec::new());
    for (slot, seen) in seen.iter().enumerate() {
        let fill = if *seen { slot as f32 } else { f32::NAN };
        v.extend([fill; 4]);
        k.extend([if *seen { 1.0 } else { f32::NAN }; 4]);
    }
    assert_close(&one(&k, &v, [1, 3, 5, 6]), &[8.0 / 3.0; 4]);
    assert_close(&one(&k, &v, [5, 6, 1, 3]), &[8.0 / 3.0; 4]);
    assert_close(&one(&k, &v, [0, 0, 1, 3]), &[1.5; 4]);
}

#[test]
fn spans_that_cannot_be() {
    for span in [[0u32, 3, 2, 4], [2, 1, 0, 0]] {
        let params = Params {
            queries: 1,
            heads: 1,
            group: 1,
            head_dim4: 1,
            splits: 1,
            ..Default::default()
        };
        let bindings = Bindings {
            q: poison(4),
            k: poison(40),
            v: poison(40),
            spans: words(&span),
            y: poison(4),
            stats: poison(2),
        };
        let error = play(visual_attention::call(Style::Plain, params, bindings), [1, 1, 1]).unwrap_err();
        assert!(matches!(error, TwinError::Unfit { .. }), "{error}");
    }
}

/// Two queries, four heads over two key heads, rows of q, k and v inside wider rows.
#[test]
fn heads_share_key_heads_and_rows_have_places() {
    let params = Params {
        queries: 2,
        heads: 4,
        group: 2,
        head_dim4: 1,
        q_stride4: 6,
        q_offset4: 1,
        kv_stride4: 5,
        k_offset4: 0,
        v_offset4: 2,
        splits: 1,
        scale: 1.0,
        ..Default::default()
    };
    let slots = 3;
    // Keys are 0, so that all weights are equal; a value says which slot and key head it is of.
    let mut kv = vec![POISON; slots * 20];
    for slot in 0..slots {
        kv[slot * 20..][..8].fill(0.0);
        kv[slot * 20 + 8..][..4].fill(slot as f32);
        kv[slot * 20 + 12..][..4].fill(100.0 + slot as f32);
    }
    for style in [Style::Serial, Style::Plain] {
        let bindings = Bindings {
            q: words(&numbers(48, 3)),
            k: words(&kv),
            v: words(&kv),
            spans: words(&[0u32, 3, 0, 0, 0, 1, 0, 0]),
            y: poison(32),
            stats: poison(2),
        };
        let call = visual_attention::call(style, params, bindings);
        let grid = if style == Style::Serial { [1, 1, 1] } else { [1, 2, 1] };
        let y = floats(call, grid, Y);
        let per_head: Vec<f32> = y.chunks(4).map(|c| c[0]).collect();
        assert_close(&per_head, &[1.0, 1.0, 101.0, 101.0, 0.0, 0.0, 100.0, 100.0]);
    }
}

/// Two queries, two heads that share a key head: slots 0 and 1 are memory, slot 2 the first query, slot 3 the second.
#[test]
fn what_slots_are_given_by_hand() {
    // Scores are what q's first value says times the key's: keys 0, ln 3, 0, 0.
    let q: Vec<f32> = [1.0, 0.0, 1.0, 2.0].iter().flat_map(|x| [*x, 9.0, 0.0, 0.0]).collect();
    let k: Vec<f32> = [0.0, 3f32.ln(), 0.0, 0.0]
        .iter()
        .flat_map(|x| [*x, 0.0, 7.0, 0.0])
        .collect();
    let spans = [[0u32, 3, 0, 0], [0, 2, 2, 4]].concat();
    // Weights of the memory: (1, 3) of 5; (1, 1) of 3; (1, 3) of 6; (1, 9) of 12.
    let right = [
        1.0 / 5.0 + 1.0 / 3.0 + 1.0 / 6.0 + 1.0 / 12.0,
        3.0 / 5.0 + 1.0 / 3.0 + 3.0 / 6.0 + 9.0 / 12.0,
    ];
    for (style, grid) in [(Style::Serial, 1), (Style::Plain, 4)] {
        let params = ask_rows::Params {
            queries: 2,
            heads: 2,
            group: 2,
            head_dim4: 1,
            scale: 1.0,
            ..Default::default()
        };
        let bindings = ask_rows::Bindings {
            q: words(&q),
            k: words(&k),
            spans: words(&spans),
            softmax: poison(8),
        };
        let softmax = floats(ask_rows::call(style, params, bindings), [grid, 1, 1], 3);
        let ln3 = 3f32.ln();
        assert_close(&softmax, &[ln3, 5.0 / 3.0, 0.0, 3.0, ln3, 2.0, 2.0 * ln3, 12.0 / 9.0]);
        let params = ask_slots::Params {
            queries: 2,
            heads: 2,
            group: 2,
            head_dim4: 1,
            slots: 2,
            scale: 1.0,
            ..Default::default()
        };
        let bindings = ask_slots::Bindings {
            q: words(&q),
            k: words(&k),
            softmax: words(&softmax),
            asked: words(&[10.0f32, 20.0, 30.0]),
        };
        let asked = floats(ask_slots::call(params, bindings), [1, 1, 1], 3);
        assert_close(&asked, &[10.0 + right[0], 20.0 + right[1], 30.0]);
    }
}

#[test]
fn merging_weighs_splits_and_ignores_empty_ones() {
    let params = attention_merge::Params {
        rows: 1,
        splits: 3,
        head_dim4: 1,
        ..Default::default()
    };
    // Split 0: largest score 0, weights sum to 2, values sum to 6. Split 2: ln 2, 1, 9. Split 1 saw nothing.
    let mut parts = [f32::NAN; 12];
    parts[..4].fill(6.0);
    parts[8..].fill(9.0);
    let bindings = attention_merge::Bindings {
        parts: words(&parts),
        stats: words(&[0.0f32, 2.0, -1e30, 0.0, 2f32.ln(), 1.0]),
        y: poison(4),
    };
    // (6 + 2 · 9) / (2 + 2 · 1).
    assert_close(
        &floats(attention_merge::call(params, bindings), [1, 1, 1], 2),
        &[6.0; 4],
    );
}

proptest! {
    /// Split and merged is the same as in one piece.
    #[test]
    fn splits_put_together_are_the_whole(
        queries in 1..12u32, group in 1..4u32, kv_heads in 1..3u32, past in 0..40u32, splits in 2..6u32, plain: bool,
    ) {
        let (heads, head_dim4, slots) = (group * kv_heads, 2, past + queries);
        let style = if plain { Style::Plain } else { Style::Serial };
        let params = |splits| Params {
            queries, heads, group, head_dim4, q_stride4: heads * head_dim4, kv_stride4: kv_heads * head_dim4, splits,
            scale: 0.7, ..Default::default()
        };
        // Causal over what is new; the first slot of the past is hidden.
        let spans: Vec<[u32; 4]> = (0..queries).map(|i| [past.min(1), past, past, past + i + 1]).collect();
        let rows = queries * heads;
        let bindings = |splits: u32| Bindings {
            q: words(&numbers((rows * head_dim4 * 4) as usize, 1)),
            k: words(&numbers((slots * kv_heads * head_dim4 * 4) as usize, 2)),
            v: words(&numbers((slots * kv_heads * head_dim4 * 4) as usize, 3)),
            spans: words(&spans),
            y: poison((rows * splits * head_dim4 * 4) as usize),
            stats: poison((rows * splits * 2) as usize),
        };
        let kernel = visual_attention::kernel(style);
        let tiles = (queries * group).div_ceil(kernel.constant("ROWS"));
        let grid = |splits| if plain {
            [tiles, kv_heads, splits]
        } else {
            [(tiles * kv_heads * splits).div_ceil(kernel.constant("LANES")), 1, 1]
        };
        let whole = floats(visual_attention::call(style, params(1), bindings(1)), grid(1), Y);
        let parts = play(visual_attention::call(style, params(splits), bindings(splits)), grid(splits)).unwrap();
        let merge = attention_merge::call(
            attention_merge::Params { rows, splits, head_dim4, ..Default::default() },
            attention_merge::Bindings { parts: parts[Y].clone(), stats: parts[Y + 1].clone(), y: poison(whole.len()) },
        );
        let merged = floats(merge, [(rows * head_dim4).div_ceil(64), 1, 1], 2);
        for (a, b) in whole.iter().zip(&merged) {
            prop_assert!((a - b).abs() < 1e-5, "{} is not {}", a, b);
        }
    }

    /// Which queries share a tile changes nothing, whatever their spans.
    #[test]
    fn tiles_change_nothing(cuts in proptest::collection::vec(proptest::array::uniform4(0..12u32), 1..12)) {
        let spans: Vec<[u32; 4]> = cuts
            .into_iter()
            .map(|mut cut| {
                cut.sort_unstable();
                // Something is seen.
                if cut[0] == cut[1] && cut[2] == cut[3] { [0, 0, 3, 5] } else { cut }
            })
            .collect();
        let queries = spans.len() as u32;
        let y = [Style::Serial, Style::Plain].map(|style| {
            let params = Params {
                queries, heads: 1, group: 1, head_dim4: 1, q_stride4: 1, kv_stride4: 1, splits: 1, scale: 2.0, ..Default::default()
            };
            let bindings = Bindings {
                q: words(&numbers(4 * queries as usize, 1)),
                k: words(&numbers(48, 2)),
                v: words(&numbers(48, 3)),
                spans: words(&spans),
                y: poison(4 * queries as usize),
                stats: poison(2),
            };
            floats(visual_attention::call(style, params, bindings), [queries.div_ceil(8), 1, 1], Y)
        });
        prop_assert_eq!(&y[0], &y[1]);
    }
}
