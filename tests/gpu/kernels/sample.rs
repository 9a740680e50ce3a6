//! `sample`.

use super::values::{Values, poison};
use super::{Launch, failed, play, property};
use folio_shaders::sample;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;

#[derive(Debug, Clone)]
struct Case {
    vocab: usize,
    /// Steps per nat: few make ties.
    grid: f32,
    /// Ids whose logits are not finite.
    broken: Vec<(usize, f32)>,
    recent: usize,
    banned: usize,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    uniform: f32,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let size = (
        select(vec![1usize, 2, 3, 15, 16, 17, 255, 257, 1000, 4097]),
        select(vec![0.5f32, 2.0, 1e6]),
    );
    let odd = select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let broken = prop::collection::vec((any::<usize>(), odd), 0..3);
    let broken = prop_oneof![4 => Just(Vec::new()), 1 => broken];
    let ids = (select(vec![0usize, 0, 1, 5, 100]), select(vec![0usize, 0, 1, 2, 30]));
    let filters = (
        select(vec![0.0f32, 0.3, 1.0, 2.0]),
        select(vec![0u32, 0, 1, 2, 5, 40, 5000]),
        prop_oneof![Just(1.0f32), 0.01f32..1.0],
        prop_oneof![Just(0.0f32), 0.0f32..1.0],
        select(vec![1.0f32, 1.3, 0.8]),
    );
    let uniform = prop_oneof![1 => Just(0.0f32), 1 => Just(1.0 - f32::EPSILON / 2.0), 6 => 0.0f32..1.0];
    (size, broken, ids, filters, uniform, any::<u64>()).prop_map(
        |((vocab, grid), broken, (recent, banned), (temperature, top_k, top_p, min_p, penalty), uniform, seed)| Case {
            vocab,
            grid,
            broken,
            recent,
            banned,
            temperature,
            top_k,
            top_p,
            min_p,
            penalty,
            uniform,
            seed,
        },
    )
}

/// The kernel draws what its twin draws, in every style.
#[test]
fn sample_is_its_twin() {
    property(
        "sample_is_its_twin",
        160,
        |styles| (styles, cases()),
        |machine, (style, case)| {
            let mut values = Values::new(case.seed);
            let mut logits: Vec<f32> = values
                .floats(case.vocab)
                .iter()
                .map(|bits| (8.0 * f32::from_bits(*bits) * case.grid).round() / case.grid)
                .collect();
            for (at, value) in &case.broken {
                logits[at % case.vocab] = *value;
            }
            let recent = if case.penalty == 1.0 { 0 } else { case.recent };
            let params = sample::Params {
                vocab: case.vocab as u32,
                recent: recent as u32,
                banned: case.banned as u32,
                top_k: case.top_k,
                penalty: case.penalty,
                inverse_temperature: if case.temperature == 0.0 {
                    0.0
                } else {
                    1.0 / case.temperature
                },
                top_p: case.top_p,
                min_p: case.min_p,
                uniform_: case.uniform,
                ..Default::default()
            };
            let bindings = sample::Bindings {
                logits: logits.iter().map(|x| x.to_bits()).collect(),
                ids: values.words(recent + case.banned, case.vocab as u32),
                result: poison(4),
            };
            let launch = Launch {
                call: sample::call(style, params, bindings),
                grid: [1, 1, 1],
            };
            same(&launch, play(machine, &launch)?.written)
        },
    );
}

/// The same id and flags, the same log-probability but for rounding, and logits that are as they were, bit for bit.
fn same(launch: &Launch, written: Vec<[Vec<u32>; 3]>) -> Result<(), TestCaseError> {
    let label = launch.call.kernel.label;
    let [[before, logits, _], [_, found, right]] =
        <[_; 2]>::try_from(written).map_err(|_| failed("two are written"))?;
    prop_assert_eq!(before, logits, "{}: logits are left as they were", label);
    let value = |words: &[u32], i: usize| f32::from_bits(words[i]);
    prop_assert_eq!((found[0], found[3]), (right[0], right[3]), "{}: id and flags", label);
    for i in [1, 2] {
        let (a, b) = (value(&found, i), value(&right, i));
        // With nothing to draw from, the largest logit is not told.
        let told = right[3] & 2 == 0;
        prop_assert!(!told || (a - b).abs() <= 1e-4, "{}: word {}: {} or {}", label, i, a, b);
    }
    Ok(())
}
