//! Decoding and prefill of several runtimes, in turns.

use crate::runtimes::Runtime;
use anyhow::Result;
use folio_benches::cpu_time;
use folio_benches::material::Material;
use folio_benches::statistics::median;
use serde::Serialize;
use std::time::Instant;

/// One timed run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) runtime: &'static str,
    /// "decode" or "prefill".
    pub(crate) what: &'static str,
    pub(crate) tokens: usize,
    pub(crate) seconds: f64,
    /// CPU seconds of this process, where the system says.
    pub(crate) cpu_seconds: Option<f64>,
}

/// Time that passes, and CPU time of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timer(Instant, Option<f64>);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(Instant::now(), cpu_time::seconds())
    }

    /// Seconds, and CPU seconds.
    pub(crate) fn stop(self) -> (f64, Option<f64>) {
        let seconds = self.0.elapsed().as_secs_f64();
        let cpu = cpu_time::seconds().zip(self.1).map(|(now, then)| now - then);
        (seconds, cpu)
    }
}

/// Sizes and rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// 0 leaves it out.
    pub(crate) decode_tokens: usize,
    /// 0 leaves it out.
    pub(crate) prefill_tokens: usize,
}

/// Everything once to compile and tune, then round after round. Also gives the largest difference of the first prompt's
/// logits between the first runtime and the others, relative to the largest logit: the same model must have run.
///
/// # Errors
/// A runtime fails.
pub(crate) fn hold(runtimes: &mut [Runtime], sizes: Sizes) -> Result<(Vec<Run>, f32)> {
    let mut material = Material::new(&runtimes[0].runner.config().clone())?;
    let ids = material.ids(sizes.prefill_tokens.max(16));
    let (mut runs, mut logits) = (Vec::new(), Vec::new());
    for runtime in runtimes.iter_mut() {
        let start = Instant::now();
        runtime.start()?;
        logits.push(runtime.read(&ids)?.data);
        runtime.start()?;
        // As many as in a round: burn compiles again as the context grows.
        let mut id = ids[0];
        for _ in 0..=sizes.decode_tokens {
            id = runtime.step(id)?;
        }
        eprintln!("  {}: warm after {:.1} s", runtime.name, start.elapsed().as_secs_f64());
    }
    for round in 1..=sizes.rounds {
        for runtime in runtimes.iter_mut() {
            if sizes.decode_tokens > 0 {
                runtime.start()?;
                let mut id = runtime.step(ids[0])?;
                let start = Timer::start();
                for _ in 0..sizes.decode_tokens {
                    id = runtime.step(id)?;
                }
                record(&mut runs, runtime.name, "decode", sizes.decode_tokens, start, round);
            }
            if sizes.prefill_tokens > 0 {
                runtime.start()?;
                let start = Timer::start();
                runtime.read(&ids)?;
                record(&mut runs, runtime.name, "prefill", ids.len(), start, round);
            }
        }
    }
    Ok((runs, difference(&logits)))
}

fn record(runs: &mut Vec<Run>, runtime: &'static str, what: &'static str, tokens: usize, start: Timer, round: usize) {
    let (seconds, cpu_seconds) = start.stop();
    eprintln!(
        "  round {round}: {runtime}, {what}: {tokens} tokens in {seconds:.2} s, {:.2} s of CPU",
        cpu_seconds.unwrap_or(f64::NAN)
    );
    runs.push(Run {
        runtime,
        what,
        tokens,
        seconds,
        cpu_seconds,
    });
}

fn difference(logits: &[Vec<f32>]) -> f32 {
    let largest = logits[0].iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let apart = logits[1..]
        .iter()
        .flat_map(|other| logits[0].iter().zip(other).map(|(a, b)| (a - b).abs()));
    apart.fold(0.0, f32::max) / largest
}

/// Median tokens a second of a runtime; `None` when it was not measured.
pub(crate) fn rate(runs: &[Run], runtime: &str, what: &str) -> Option<f64> {
    rate_by(runs, runtime, what, |run| Some(run.seconds))
}

/// Median tokens a CPU second.
pub(crate) fn cpu_rate(runs: &[Run], runtime: &str, what: &str) -> Option<f64> {
    rate_by(runs, runtime, what, |run| run.cpu_seconds)
}

fn rate_by(runs: &[Run], runtime: &str, what: &str, seconds: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    let seconds: Vec<f64> = runs
        .iter()
        .filter(|run| run.runtime == runtime && run.what == what)
        .filter_map(|run| Some(seconds(run)? / run.tokens as f64))
        .collect();
    (!seconds.is_empty()).then(|| 1.0 / median(seconds))
}
