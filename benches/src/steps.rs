//! One token's step with few slots held and with many.

use crate::material::Material;
use crate::statistics::median;
use anyhow::{Context, Result, ensure};
use folio_engine::Wait;
use folio_engine::runner::{Runner, Want};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Steps timed at each fill in each round.
const STEPS: usize = 32;

/// Milliseconds of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepRun {
    /// Slots held in the first case.
    pub few_slots: usize,
    /// Slots held in the second case.
    pub many_slots: usize,
    /// Median step with few slots; milliseconds.
    pub few_ms: f64,
    /// Median step with many slots; milliseconds.
    pub many_ms: f64,
}

/// Times single-token steps that end at 256 and at 4,096 slots (or the model's limit, if that is less), in turns.
pub fn measure(runner: &mut dyn Runner, rounds: usize) -> Result<StepRun> {
    let limit = runner.config().text.max_position_embeddings;
    let (few_slots, many_slots) = (256, 4096.min(limit));
    ensure!(
        many_slots > few_slots,
        "the model's context of {limit} slots is too small to compare"
    );
    let mut material = Material::new(&runner.config().clone())?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        few.extend(steps_up_to(runner, &mut material, few_slots)?);
        many.extend(steps_up_to(runner, &mut material, many_slots)?);
    }
    Ok(StepRun {
        few_slots,
        many_slots,
        few_ms: median(few),
        many_ms: median(many),
    })
}

/// Fills the context to `slots - STEPS` with finished text, then times the last steps; milliseconds each.
fn steps_up_to(runner: &mut dyn Runner, material: &mut Material, slots: usize) -> Result<Vec<f64>> {
    runner.reset();
    let chunk = runner
        .config()
        .fold
        .as_ref()
        .context("this preset cannot fold")?
        .chunk_tokens;
    let mut left = slots - STEPS;
    while left > 0 {
        let piece = left.min(chunk);
        runner.extend(&material.ids(piece), Want::Nothing).wait()?;
        runner.keep_open();
        left -= piece;
    }
    let ids = material.ids(STEPS);
    ids.iter()
        .map(|&id| {
            let start = Instant::now();
            runner.extend(&[id], Want::Last).wait()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::StandIn;

    #[test]
    fn ends_exactly_at_the_limit() {
        let mut runner = StandIn::new();
        let run = measure(&mut runner, 2).expect("it runs");
        assert_eq!((run.few_slots, run.many_slots), (256, 4096));
        assert_eq!(runner.context().slots(), 4096);
        assert_eq!(runner.context().open_slots(), STEPS);
    }
}
