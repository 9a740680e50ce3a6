//! The table and the JSON.

use crate::contest::{Run, cpu_rate, rate};
use crate::matvec::MatVec;
use crate::runtimes::WITH_KERNELS;
use folio_benches::prompt::{Mode, PromptRun};
use folio_benches::statistics::median;
use serde_json::{Value, json};

/// Kernel, launches, seconds.
pub(crate) type Times = (&'static str, u64, f64);
/// Times of every kernel, under what was run.
pub(crate) type Kernels = Vec<(&'static str, Vec<Times>)>;

/// Everything measured on one model.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) model: String,
    pub(crate) adapter: String,
    pub(crate) runs: Vec<Run>,
    /// Largest difference of logits between the runtimes, relative.
    pub(crate) difference: Option<f32>,
    pub(crate) matvec: Vec<MatVec>,
    /// Folded and full, in the order they ran.
    pub(crate) folding: Vec<PromptRun>,
    /// Kernel, launches, seconds; of decoding, then of prefill.
    pub(crate) kernels: Kernels,
}

/// A figure and what is wanted of it.
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) wanted: f64,
    pub(crate) at_least: bool,
}

impl Goal {
    pub(crate) fn met(&self) -> bool {
        if self.at_least {
            self.value >= self.wanted
        } else {
            self.value <= self.wanted
        }
    }
}

impl Report {
    /// Names of the runtimes, in the order they first ran.
    fn runtimes(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for run in &self.runs {
            if !names.contains(&run.runtime) {
                names.push(run.runtime);
            }
        }
        names
    }

    fn folding(&self, mode: Mode, figure: impl Fn(&PromptRun) -> f64) -> f64 {
        median(self.folding.iter().filter(|run| run.context == mode).map(figure))
    }

    /// What is wanted, against the faster of burn's ways. SwiftShader's floors are higher: burn's kernels use what it does badly.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let slow = self.adapter.contains("SwiftShader");
        let mut goals = Vec::new();
        let mut add = |name: String, value, wanted, at_least| {
            goals.push(Goal {
                name,
                value,
                wanted,
                at_least,
            });
        };
        for (what, wanted) in [
            ("decode", if slow { 5.0 } else { 1.5 }),
            ("prefill", if slow { 5.0 } else { 1.2 }),
        ] {
            let baselines = self
                .runtimes()
                .into_iter()
                .filter(|&name| name != "folio" && name != WITH_KERNELS);
            let burn = baselines.filter_map(|name| rate(&self.runs, name, what));
            let best = burn.fold(0.0, f64::max);
            if let Some(ours) = rate(&self.runs, "folio", what).filter(|_| best > 0.0) {
                add(format!("{what}, times burn-wgpu"), ours / best, wanted, true);
            }
        }
        for weight in ["f32", "f16", "bf16", "q8_0", "q4_0"] {
            let clock = |m: &MatVec| m.share(&m.words).0;
            let of_weight = self.matvec.iter().filter(|m| m.weight == weight);
            if let Some(best) = of_weight.max_by(|a, b| clock(a).total_cmp(&clock(b))) {
                let mut against = |what, sum| {
                    let name = format!("mat-vec {weight} ({}), bytes/s of the sum of {what}", best.style);
                    add(name, best.share(sum).0, 0.5, true);
                };
                against("words", &best.words);
                if let Some(values) = &best.values {
                    against("weights", values);
                }
            }
        }
        if !self.folding.is_empty() {
            let first = |mode| self.folding(mode, |run| run.first_token_s);
            let bytes = |mode| self.folding(mode, |run| run.kv_bytes as f64);
            add(
                "first token, times sooner folded".into(),
                first(Mode::Full) / first(Mode::Folded),
                3.0,
                true,
            );
            add(
                "KV bytes folded, of full".into(),
                bytes(Mode::Folded) / bytes(Mode::Full),
                0.3,
                false,
            );
        }
        goals
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{} on {}", self.model, self.adapter)];
        if !self.runs.is_empty() {
            lines.push(format!("{:<28}{:>14}{:>14}", "median tokens/s", "decode", "prefill"));
            for name in self.runtimes() {
                let cell = |what| rate(&self.runs, name, what).map_or("-".into(), |r| format!("{r:.2}"));
                lines.push(format!("{name:<28}{:>14}{:>14}", cell("decode"), cell("prefill")));
            }
            lines.push("the same by CPU seconds of this process".into());
            for name in self.runtimes() {
                let cell = |what| cpu_rate(&self.runs, name, what).map_or("-".into(), |r| format!("{r:.2}"));
                lines.push(format!("{name:<28}{:>14}{:>14}", cell("decode"), cell("prefill")));
            }
        }
        if let Some(difference) = self.difference {
            lines.push(format!("logits differ by at most {difference:.1e} of the largest"));
        }
        for m in &self.matvec {
            let rate = |seconds| m.bytes as f64 / seconds / 1e9;
            lines.push(format!(
                "mat-vec {} {:<10}{:>7.2} GB/s",
                m.weight,
                m.style,
                rate(m.seconds)
            ));
            for sum in std::iter::once(&m.words).chain(&m.values) {
                let (clock, cpu) = m.share(sum);
                lines.push(format!(
                    "  {clock:.2} of the sum's, {:.2} by CPU seconds: {:>6.2} GB/s ({})",
                    cpu.unwrap_or(f64::NAN),
                    rate(sum.seconds),
                    sum.pattern,
                ));
            }
        }
        if !self.folding.is_empty() {
            for mode in [Mode::Folded, Mode::Full] {
                lines.push(format!(
                    "{mode:?}: first token {:.2} s, KV {:.1} MB",
                    self.folding(mode, |run| run.first_token_s),
                    self.folding(mode, |run| run.kv_bytes as f64) / 1e6
                ));
            }
        }
        for (what, kernels) in &self.kernels {
            let all: f64 = kernels.iter().map(|k| k.2).sum();
            lines.push(format!("{what}, time per kernel (timestamps, one pass each)"));
            for (kernel, launches, seconds) in kernels {
                let share = 100.0 * seconds / all;
                lines.push(format!(
                    "  {kernel:<36}{launches:>7} launches{:>10.2} ms{share:>6.1}%",
                    seconds * 1e3
                ));
            }
        }
        for goal in self.goals() {
            lines.push(format!(
                "{:<44}{:>8.2}   wanted {} {:<5}{}",
                goal.name,
                goal.value,
                if goal.at_least { "≥" } else { "≤" },
                goal.wanted,
                if goal.met() { "met" } else { "NOT MET" }
            ));
        }
        lines.join("\n") + "\n"
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let goals: Vec<Value> = self
            .goals()
            .iter()
            .map(|g| json!({"name": g.name, "value": g.value, "wanted": g.wanted, "at_least": g.at_least, "met": g.met()}))
            .collect();
        json!({
            "model": self.model,
            "adapter": self.adapter,
            "runs": self.runs,
            "logits_difference": self.difference,
            "mat_vec": self.matvec,
            "folding": self.folding,
            "kernels": self.kernels,
            "goals": goals,
        })
    }
}
