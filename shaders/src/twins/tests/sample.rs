use super::*;
use crate::sample::{self, Bindings, Params};

/// Plain settings: likeliest first, nothing filtered.
fn draw() -> Params {
    Params {
        penalty: 1.0,
        inverse_temperature: 1.0,
        top_p: 1.0,
        ..Default::default()
    }
}

/// The four words that a choice gives.
fn choose(logits: &[f32], recent: &[u32], banned: &[u32], params: Params) -> Vec<u32> {
    let params = Params {
        vocab: logits.len() as u32,
        recent: recent.len() as u32,
        banned: banned.len() as u32,
        ..params
    };
    let bindings = Bindings {
        logits: words(logits),
        ids: [recent, banned, &[0]].concat(),
        result: poison(4),
    };
    let out = play(sample::call(Style::Plain, params, bindings), [1, 1, 1]).unwrap();
    assert_eq!(out[0], words(logits), "logits are left as they were");
    out[2].clone()
}

fn greedy(logits: &[f32], recent: &[u32], banned: &[u32], penalty: f32) -> u32 {
    let params = Params {
        inverse_temperature: 0.0,
        // Filters do not matter.
        top_k: 1,
        top_p: 0.1,
        penalty,
        ..draw()
    };
    choose(logits, recent, banned, params)[0]
}

/// How often each id is drawn, of 1,000 evenly spaced random numbers.
fn shares(logits: &[f32], params: Params) -> Vec<usize> {
    let mut counts = vec![0; logits.len()];
    let mut last = 0;
    for i in 0..1000 {
        let uniform_ = (i as f32 + 0.5) / 1000.0;
        let id = choose(logits, &[], &[], Params { uniform_, ..params })[0];
        assert!(id >= last, "the draw goes through ids in ascending order");
        last = id;
        counts[id as usize] += 1;
    }
    counts
}

#[test]
fn greedy_takes_the_likeliest_and_of_equals_the_first() {
    assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0], &[], &[], 1.0), 1);
    assert_eq!(greedy(&[-0.0, 0.0], &[], &[], 1.0), 0);
    assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0], &[], &[1, 2], 1.0), 3);
}

#[test]
fn penalties_divide_or_multiply_once() {
    // 3 / 2 = 1.5 is below 2; were it taken twice, 0.75 would be below 1 too.
    assert_eq!(greedy(&[3.0, 2.0], &[0, 0], &[], 2.0), 1);
    assert_eq!(greedy(&[3.0, 1.0], &[0, 0], &[], 2.0), 0);
    // -1 · 2 is below -1.5.
    assert_eq!(greedy(&[-1.0, -1.5], &[0], &[], 2.0), 1);
    // Ids that the vocabulary does not have.
    assert_eq!(greedy(&[3.0, 2.0], &[7], &[9], 2.0), 0);
}

#[test]
fn result_has_the_models_own_probability() {
    let logits = [2f32.ln(), 5f32.ln(), 3f32.ln()];
    let result = choose(
        &logits,
        &[1],
        &[2],
        Params {
            inverse_temperature: 0.0,
            penalty: 9.0,
            ..draw()
        },
    );
    assert_eq!(result[0], 0);
    assert_close(
        &[f32::from_bits(result[1]), f32::from_bits(result[2])],
        &[0.2f32.ln(), 5f32.ln()],
    );
    assert_eq!(result[3], 0);
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [2f32.ln(), 5f32.ln(), 3f32.ln()];
    assert_eq!(shares(&logits, draw()), [200, 500, 300]);
    // Temperature 1/2 squares: 4, 25, 9 of 38.
    let params = Params {
        inverse_temperature: 2.0,
        ..draw()
    };
    assert_eq!(shares(&logits, params), [105, 658, 237]);
}

#[test]
fn top_k_keeps_the_lowest_of_equals() {
    let logits = [1.0, 0.0, 1.0, 1.0];
    assert_eq!(shares(&logits, Params { top_k: 2, ..draw() }), [500, 0, 500, 0]);
    assert_eq!(shares(&logits, Params { top_k: 9, ..draw() })[1], 109);
}

#[test]
fn top_p_keeps_until_it_is_reached() {
    // 0.1 0.4 0.2 0.3: 0.4 and 0.3 are 0.7.
    let logits = [1f32.ln(), 4f32.ln(), 2f32.ln(), 3f32.ln()];
    let kept = |top_p| -> Vec<bool> {
        shares(&logits, Params { top_p, ..draw() })
            .iter()
            .map(|n| *n > 0)
            .collect()
    };
    assert_eq!(kept(0.69), [false, true, false, true]);
    assert_eq!(kept(0.71), [false, true, true, true]);
    assert_eq!(kept(1e-6), [false, true, false, false]);
    // Of what top-k left: 0.4 of 0.7 is 0.57.
    let params = Params {
        top_k: 2,
        top_p: 0.5,
        ..draw()
    };
    assert_eq!(shares(&logits, params), [0, 1000, 0, 0]);
}

#[test]
fn min_p_is_relative_to_the_likeliest() {
    let logits = [1f32.ln(), 4f32.ln(), 2f32.ln(), 3f32.ln()];
    let params = Params { min_p: 0.49, ..draw() };
    assert_eq!(shares(&logits, params), [0, 444, 223, 333]);
    let params = Params { min_p: 1.0, ..draw() };
    assert_eq!(shares(&logits, params), [0, 1000, 0, 0]);
}

#[test]
fn what_is_not_finite_is_left_out_and_reported() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let result = choose(&[1.0, odd, 1.0], &[], &[], draw());
        assert_eq!((result[0], result[3]), (0, 1), "{odd}");
        assert_close(&[f32::from_bits(result[1])], &[0.5f32.ln()]);
    }
    assert_eq!(choose(&[f32::NAN; 2], &[], &[], draw()), [0, 0, 0, 3]);
    assert_eq!(choose(&[1.0, 2.0], &[], &[0, 1], draw())[3], 2);
}

#[test]
fn nothing_forty_nats_down_is_drawn() {
    let logits = [0.0, 41.0];
    let params = Params { top_k: 2, ..draw() };
    assert_eq!(shares(&logits, params), [0, 1000]);
    // Were it kept, min_p 0 and a random number of 0 would give it.
    assert_eq!(choose(&logits, &[], &[], draw())[0], 1);
    assert_eq!(choose(&[2.0, 41.0], &[], &[], draw())[0], 0);
}
