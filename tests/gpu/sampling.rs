//! Drawing on the GPU against the host's sampler: the same tokens with the same probabilities.

use crate::adapter::each;
use folio_engine::Wait;
use folio_engine::gpu::Style;
use folio_engine::runner::{DrawRequest, Runner, Want};
use folio_engine::session::{Sampler, Sampling};
use folio_tests::models;

/// Random numbers that are tried on the GPU, evenly from 0 to 1.
const GRID: usize = 200;
/// Draws of the host's sampler.
const DRAWS: usize = 40_000;

fn settings() -> Vec<(Sampling, &'static [u32], &'static [u32])> {
    let hot = Sampling {
        temperature: 0.9,
        ..Sampling::default()
    };
    let change = |change: fn(&mut Sampling)| {
        let mut sampling = hot.clone();
        change(&mut sampling);
        sampling
    };
    vec![
        (hot.clone(), &[], &[]),
        (change(|s| s.top_k = 5), &[], &[]),
        (change(|s| s.top_p = 0.6), &[], &[]),
        (change(|s| s.min_p = 0.3), &[], &[]),
        (change(|s| s.repetition_penalty = 1.5), &[3, 4, 5, 6, 7, 5], &[]),
        (
            change(|s| (s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty) = (1.5, 9, 0.8, 0.05, 0.7)),
            &[1, 2, 3],
            &[1, 8],
        ),
    ]
}

#[test]
fn draws_have_the_probabilities_of_the_hosts_sampler() {
    let mut config = models::base();
    config.fold = None;
    (config.text.vocab_size, config.text.num_hidden_layers) = (23, 1);
    each("draws_have_the_probabilities_of_the_hosts_sampler", |adapter| {
        let mut machine = adapter.open(Style::Serial);
        for style in adapter.styles() {
            if style.subgroups() {
                // `sample` has no variant with subgroups.
                continue;
            }
            drop(machine);
            machine = adapter.open(style);
            let mut runner = models::on(machine, &config, 4);
            let logits = {
                runner.extend(&[0, 9], Want::Kept).wait().unwrap();
                runner.kept_logits().wait().unwrap()
            };
            for (sampling, recent, banned) in settings() {
                let mut host = [0.0; 23];
                let mut sampler = Sampler::new(sampling.clone()).unwrap();
                for _ in 0..DRAWS {
                    host[sampler.draw(logits.last(), recent, banned).unwrap().id as usize] += 1.0 / DRAWS as f64;
                }
                let mut gpu = [0.0; 23];
                for i in 0..GRID {
                    runner.reset();
                    runner.extend(&[0, 9], Want::Kept).wait().unwrap();
                    let request = DrawRequest {
                        repetition_penalty: sampling.repetition_penalty,
                        temperature: sampling.temperature,
                        top_k: sampling.top_k,
                        top_p: sampling.top_p,
                        min_p: sampling.min_p,
                        recent,
                        banned,
                        uniform: (i as f32 + 0.5) / GRID as f32,
                    };
                    gpu[runner.draw(&request).wait().unwrap().unwrap().id as usize] += 1.0 / GRID as f64;
                }
                for (id, (a, b)) in gpu.iter().zip(&host).enumerate() {
                    // The grid is exact to one step, the host's share to four standard deviations.
                    let bound = 1.0 / GRID as f64 + 4.0 * (b * (1.0 - b) / DRAWS as f64).sqrt();
                    let what = format!("{} ({style}), {sampling:?}: token {id}", adapter.report.name);
                    assert!((a - b).abs() <= bound + 1e-9, "{what}: {a} on the GPU, {b} on the host");
                    assert!(*b > 0.0 || *a == 0.0, "{what} is drawn on the GPU alone");
                }
            }
            machine = runner.into_machine();
        }
    });
}
