//! The hidden states after every layer against the burn runner: the same weights, cut off after one layer more each time, so
//! that the first cut that differs names the layer.

use crate::adapter::each;
use folio_engine::Wait;
use folio_engine::checkpoint::TensorSpec;
use folio_engine::config::Config;
use folio_engine::gpu::{Formula, GpuRunner};
use folio_engine::page::Tint;
use folio_engine::runner::Want;
use folio_tests::models;
use folio_tests::script::{Op, follow};

const SEED: u64 = 5;
/// Largest deviation, of the largest value of the hidden state.
const BOUND: f64 = 1e-4;

/// Every row's state: one row and several (other kernels), pages, and text after them.
fn ops(config: &Config) -> Vec<Op> {
    let ids = |n: u32| {
        (0..n)
            .map(|i| (7 * i + i * i) % config.text.vocab_size as u32)
            .collect::<Vec<_>>()
    };
    let mut ops = vec![
        Op::Text(vec![config.bos_token_id], Want::All),
        Op::Keep,
        Op::Text(ids(11), Want::All),
    ];
    if config.fold.is_some() {
        let pages = vec![("a page".into(), Tint::White), ("and one more".into(), Tint::Grey)];
        ops.push(Op::Fold(pages, Want::All));
    }
    ops.push(Op::Text(ids(1), Want::All));
    ops.push(Op::Text(ids(19), Want::All));
    ops
}

#[test]
fn hidden_states_after_every_layer_are_those_of_the_burn_runner() {
    each(
        "hidden_states_after_every_layer_are_those_of_the_burn_runner",
        |adapter| {
            for style in adapter.styles() {
                let mut machine = adapter.open(style);
                for (name, whole) in models::all() {
                    let decoder = whole.text.num_hidden_layers;
                    let encoder = whole.fold.as_ref().map_or(1, |fold| fold.vision.num_hidden_layers);
                    // The encoder grows under one layer of the decoder, then the decoder over the whole encoder.
                    let cuts = (1..encoder).map(|n| (1, n)).chain((1..=decoder).map(|n| (n, encoder)));
                    for (layers, encoder_layers) in cuts {
                        let config = models::cut(&whole, layers, encoder_layers);
                        let values = {
                            let config = config.clone();
                            move |spec: &TensorSpec| models::open_weights(&config, spec, SEED)
                        };
                        let mut right = models::cpu_with(&config, &values);
                        let source = Box::new(Formula(values));
                        let mut runner = GpuRunner::new(machine, &config, source, 0, &mut |_, _| {})
                            .wait()
                            .unwrap();
                        let what = format!(
                            "{name}, layer {layers}, encoder's layer {encoder_layers}, {} ({style})",
                            adapter.report.name
                        );
                        let worst = follow(&mut runner, right.as_mut(), &ops(&config), &what);
                        assert!(worst < BOUND, "{what}: off by {worst:e}");
                        machine = runner.into_machine();
                    }
                }
            }
        },
    );
}
