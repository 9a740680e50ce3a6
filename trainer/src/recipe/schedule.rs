//! The learning rate over a stage.

/// Share of the peak rate at `step` of `steps`: a linear rise over `warmup_ratio` of the steps, then a cosine down to
/// `min_ratio` at the last step. Defined for every input; `steps` 0 counts as 1.
pub fn lr_factor(step: u64, steps: u64, warmup_ratio: f64, min_ratio: f64) -> f64 {
    let steps = steps.max(1);
    let warmup = ((steps as f64 * warmup_ratio).ceil() as u64).min(steps);
    if step < warmup {
        return (step + 1) as f64 / (warmup + 1) as f64;
    }
    let span = (steps - warmup).saturating_sub(1).max(1);
    let done = ((step - warmup) as f64 / span as f64).min(1.0);
    min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_rises_to_the_peak_and_falls_to_the_floor() {
        let factor = |step| lr_factor(step, 1000, 0.1, 0.05);
        assert!(factor(0) > 0.0 && factor(0) < 0.02);
        assert!((factor(100) - 1.0).abs() < 1e-9);
        assert!((factor(999) - 0.05).abs() < 1e-9);
        assert!((factor(5000) - 0.05).abs() < 1e-9);
        let middle = factor(100 + 899 / 2);
        assert!((middle - 0.525).abs() < 0.01, "{middle}");
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds_and_turns_once(steps in 1u64..400, warmup in 0.0f64..1.0, floor in 0.0f64..1.0) {
            let values: Vec<f64> = (0..steps).map(|s| lr_factor(s, steps, warmup, floor)).collect();
            prop_assert!(values.iter().all(|v| *v > -1e-12 && *v <= 1.0 + 1e-12));
            let rises = (steps as f64 * warmup).ceil() as usize;
            for (i, pair) in values.windows(2).enumerate() {
                if i + 1 < rises { prop_assert!(pair[1] > pair[0]); }
                if i >= rises { prop_assert!(pair[1] <= pair[0] + 1e-12); }
            }
        }
    }
}
