//! The table and the JSON.

use crate::Settings;
use anyhow::Result;
use folio_benches::prompt::{Mode, PromptRun};
use folio_benches::statistics::median;
use folio_benches::steps::StepRun;
use serde_json::{Value, json};

/// Everything that was measured.
pub(crate) struct Report {
    settings: Settings,
    /// Folded and full runs, in the order they ran.
    pub(crate) prompt: Vec<PromptRun>,
    /// The cost of one step.
    pub(crate) steps: Option<StepRun>,
}

/// One number of a run.
type Figure = fn(&PromptRun) -> f64;

/// A figure and what is wanted of it.
struct Goal {
    name: &'static str,
    value: f64,
    wanted: f64,
    /// Whether more is better.
    at_least: bool,
}

impl Goal {
    fn met(&self) -> bool {
        if self.at_least {
            self.value >= self.wanted
        } else {
            self.value <= self.wanted
        }
    }
}

impl Report {
    /// An empty report.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            prompt: Vec::new(),
            steps: None,
        }
    }

    fn median_of(&self, mode: Mode, figure: impl Fn(&PromptRun) -> f64) -> f64 {
        median(self.prompt.iter().filter(|run| run.context == mode).map(figure))
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        if !self.prompt.is_empty() {
            let first = |mode| self.median_of(mode, |run| run.first_token_s);
            goals.push(Goal {
                name: "first token, times sooner",
                value: first(Mode::Full) / first(Mode::Folded),
                wanted: 3.0,
                at_least: true,
            });
            goals.push(Goal {
                name: "decoding, tokens/s with folds",
                value: self.median_of(Mode::Folded, |run| run.decode_tokens_per_s),
                wanted: 15.0,
                at_least: true,
            });
            let peaks = self
                .prompt
                .iter()
                .filter(|run| run.context == Mode::Folded)
                .filter_map(|run| run.peak_bytes);
            if let Some(peak) = peaks.max() {
                goals.push(Goal {
                    name: "peak memory, GB",
                    value: peak as f64 / 1e9,
                    wanted: 1.5,
                    at_least: false,
                });
            }
        }
        if let Some(steps) = &self.steps {
            let value = steps.many_ms / steps.few_ms;
            goals.push(Goal {
                name: "step with many slots, times one with few",
                value,
                wanted: 2.0,
                at_least: false,
            });
        }
        goals
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        if !self.prompt.is_empty() {
            line(format!(
                "{}, {} tokens of prompt, random weights",
                self.settings.preset, self.settings.prompt_tokens
            ));
            line(format!("{:<32}{:>10}{:>10}", "median", "folded", "full"));
            let rows: [(&str, Figure); 7] = [
                ("first token, s", |run| run.first_token_s),
                ("  of it drawing pages, s", |run| run.render_s),
                ("  of it reading pages, s", |run| run.encode_s),
                ("slots after the prompt", |run| run.prompt_slots as f64),
                ("decoding, tokens/s", |run| run.decode_tokens_per_s),
                ("KV at the end, MB", |run| run.kv_bytes as f64 / 1e6),
                ("peak memory, MB", |run| run.peak_bytes.unwrap_or(0) as f64 / 1e6),
            ];
            for (name, figure) in rows {
                let (folded, full) = (self.median_of(Mode::Folded, figure), self.median_of(Mode::Full, figure));
                line(format!("{name:<32}{folded:>10.2}{full:>10.2}"));
            }
            line(String::new());
        }
        if let Some(steps) = &self.steps {
            line(format!("{}, one step, median", self.settings.step_preset));
            for (slots, ms) in [(steps.few_slots, steps.few_ms), (steps.many_slots, steps.many_ms)] {
                line(format!("{:<32}{ms:>10.2} ms", format!("at {slots} slots")));
            }
            line(String::new());
        }
        for goal in self.goals() {
            let (sign, verdict) = (
                if goal.at_least { "≥" } else { "≤" },
                if goal.met() { "met" } else { "NOT MET" },
            );
            line(format!(
                "{:<42}{:>8.2}   wanted {sign} {:<6}{verdict}",
                goal.name, goal.value, goal.wanted
            ));
        }
        out
    }

    /// The same for programs: every run, and the goals.
    pub(crate) fn json(&self) -> Result<String> {
        let goals: Vec<Value> = self
            .goals()
            .iter()
            .map(|g| json!({"name": g.name, "value": g.value, "wanted": g.wanted, "at_least": g.at_least, "met": g.met()}))
            .collect();
        let report = json!({
            "preset": self.settings.preset,
            "prompt_tokens": self.settings.prompt_tokens,
            "step_preset": self.settings.step_preset,
            "prompt": self.prompt,
            "steps": self.steps,
            "goals": goals,
        });
        Ok(serde_json::to_string_pretty(&report)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::Parser;

    fn run(context: Mode, first_token_s: f64, peak_bytes: u64) -> PromptRun {
        PromptRun {
            first_token_flops: None,
            first_token_cost: 0.0,
            decode_flops: None,
            decode_cost: 0.0,
            weight_bytes: 0,
            device_bytes: None,
            context,
            first_token_s,
            first_token_cpu_s: None,
            decode_cpu_s: None,
            prompt_slots: 1,
            render_s: 0.0,
            encode_s: 0.0,
            decoded_tokens: 1,
            decode_tokens_per_s: 20.0,
            decode_folds_s: 0.0,
            decode_folds: 0,
            kv_bytes: 1,
            peak_bytes: Some(peak_bytes),
        }
    }

    #[test]
    fn goals_compare_medians_and_take_the_worst_peak() {
        let settings = Cli::try_parse_from(["folio-bench-cpu"]).expect("defaults").settings;
        let mut report = Report::new(&settings);
        for (folded, full, peak) in [(2.0, 10.0, 1), (3.0, 11.0, 2_000_000_000), (90.0, 12.0, 3)] {
            report.prompt.push(run(Mode::Folded, folded, peak));
            report.prompt.push(run(Mode::Full, full, 9_000_000_000));
        }
        report.steps = Some(StepRun {
            few_slots: 256,
            many_slots: 4096,
            few_ms: 2.0,
            many_ms: 3.0,
        });
        let goals = report.goals();
        let verdicts: Vec<(f64, bool)> = goals.iter().map(|g| (g.value, g.met())).collect();
        assert_eq!(verdicts, [(11.0 / 3.0, true), (20.0, true), (2.0, false), (1.5, true)]);
        assert!(report.table().contains("NOT MET"));
        let json: Value = serde_json::from_str(&report.json().expect("it writes")).expect("it is JSON");
        assert_eq!(json["prompt"].as_array().map(Vec::len), Some(6));
    }
}
