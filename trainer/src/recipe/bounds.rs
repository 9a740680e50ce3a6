//! The largest numbers that a recipe may name: far above what any machine trains with, and small enough that nothing computed
//! of them overflows or asks for all memory.

use super::{Recipe, StageRecipe};

/// Documents of a step of one process: `batch × accumulate`.
const MOST_DOCUMENTS: usize = 1 << 16;
/// Chunks of a document.
const MOST_CHUNKS: usize = 1 << 16;
/// Steps of a stage.
const MOST_STEPS: u64 = 1_000_000_000;

/// What is wrong: the key, and what it may be.
type Wrong = (&'static str, String);

fn most<T: PartialOrd + std::fmt::Display>(key: &'static str, value: T, most: T) -> Result<(), Wrong> {
    if value <= most {
        return Ok(());
    }
    Err((key, format!("is {value}: it may be at most {most}")))
}

impl StageRecipe {
    /// Checks how large its numbers are; that they are not 0 is checked before.
    pub(super) fn check_bounds(&self) -> Result<(), Wrong> {
        most("steps", self.steps, MOST_STEPS)?;
        most("batch", self.batch, MOST_DOCUMENTS)?;
        let accumulate = MOST_DOCUMENTS / self.batch.max(1);
        if self.accumulate > accumulate {
            let what = format!(
                "is {}: with batch = {} it may be at most {accumulate}",
                self.accumulate, self.batch
            );
            return Err(("accumulate", what));
        }
        most("chunks", self.chunks.max, MOST_CHUNKS)?;
        for entry in &self.curriculum {
            most("curriculum: chunks", entry.chunks.max, MOST_CHUNKS)?;
        }
        Ok(())
    }
}

impl Recipe {
    /// As [`StageRecipe::check_bounds`], of the validation.
    pub(super) fn check_eval_bounds(&self) -> Result<(), Wrong> {
        most("eval.documents", self.eval.documents, MOST_DOCUMENTS)?;
        most("eval.chunks", self.eval.chunks, MOST_CHUNKS)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::load::tests::RECIPE;
    use super::*;
    use crate::recipe::{Curriculum, Plan};

    fn error(from: &str, to: &str) -> String {
        assert!(RECIPE.contains(from), "{from}");
        Recipe::parse(&RECIPE.replacen(from, to, 1), "r.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn absurd_numbers_are_refused_with_the_largest_allowed() {
        const ABSURD: &str = "9000000000000000000";
        for (from, key, most) in [
            ("steps = 20", "stage 2: steps", "1000000000"),
            ("batch = 3", "stage 2: batch", "65536"),
            ("chunks = [2, 4]", "stage 2: chunks", "65536"),
            ("chunks = 1 }", "stage 2: curriculum: chunks", "65536"),
        ] {
            let to = match from.split_once(" = ") {
                Some((name, value)) if value.starts_with('[') => format!("{name} = [1, {ABSURD}]"),
                Some((name, value)) => format!("{name} = {ABSURD}{}", if value.ends_with('}') { " }" } else { "" }),
                None => unreachable!("every key has a value"),
            };
            let error = error(from, &to);
            let wanted = format!("r.toml: {key} is {ABSURD}: it may be at most {most}");
            assert_eq!(error, wanted);
        }
        let many = error("batch = 3", &format!("batch = 3\naccumulate = {ABSURD}"));
        assert!(
            many.contains("stage 2: accumulate") && many.ends_with("at most 21845"),
            "{many}"
        );
        for key in ["documents", "chunks"] {
            let text = format!("{RECIPE}[eval]\n{key} = {ABSURD}\n");
            let error = Recipe::parse(&text, "r.toml").unwrap_err().to_string();
            assert!(
                error.contains(&format!("eval.{key}")) && error.contains("65536"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_largest_numbers_can_be_planned() {
        let text = RECIPE
            .replace("steps = 20", &format!("steps = {MOST_STEPS}"))
            .replace("batch = 3", &format!("batch = 2\naccumulate = {}", MOST_DOCUMENTS / 2))
            .replace("chunks = [2, 4]", &format!("chunks = [1, {MOST_CHUNKS}]"));
        let plan = Plan::for_processes(&Recipe::parse(&text, "r.toml").unwrap(), 1 << 20, 2);
        assert_eq!(plan.steps(), 10 + MOST_STEPS);
        let last = plan.step(9 + MOST_STEPS, &Curriculum::default()).unwrap();
        let samples = 2 * (10 * 4 + MOST_STEPS * MOST_DOCUMENTS as u64);
        assert_eq!(last.requests.last().map(|request| request.index + 1), Some(samples));
        // More than can be counted, though no recipe can ask for it: still no overflow.
        Plan::for_processes(&Recipe::parse(&text, "r.toml").unwrap(), usize::MAX, usize::MAX);
    }
}
