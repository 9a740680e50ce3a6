//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use folio_trainer::metrics::{EvalLine, TrainLine};
use folio_trainer::run::Reporter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::Path;

/// A bar of `total` (0: unknown) `what`, hidden where stderr is no terminal.
pub(super) fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = match total {
        0 => ProgressBar::no_length(),
        total => ProgressBar::new(total),
    };
    let template = if total == 0 {
        "{spinner} {human_pos} {prefix}"
    } else {
        "{bar:30} {pos}/{len} {prefix}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// The progress of training.
pub(super) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    steps: u64,
    loss: String,
    /// The newest losses, for the sparkline.
    recent: VecDeque<f64>,
}

/// Losses that the sparkline shows.
const SPARKS: usize = 16;

/// A bar for each value, from the least to the most.
fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (least, most) = values
        .clone()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let bar = |x: f64| {
        let share = if most > least {
            (x - least) / (most - least)
        } else {
            0.0
        };
        BARS[((share * 8.0) as usize).min(7)]
    };
    values.map(bar).collect()
}

impl Progress {
    /// Progress of `steps` steps, `done` of which are done.
    pub(super) fn new(steps: u64, done: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let template = "{bar:24} {pos}/{len} {msg}  {elapsed} elapsed, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_position(done);
        bar.reset_eta();
        Self {
            bar,
            terminal,
            steps,
            loss: String::new(),
            recent: VecDeque::new(),
        }
    }

    /// Leaves the last state on the screen.
    pub(super) fn finish(&self) {
        self.bar.abandon();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

/// The losses that were computed, shortly.
fn losses(line: &TrainLine) -> String {
    let named = [
        ("loss", line.loss),
        ("first16", line.first16_loss),
        ("first", line.first_loss),
        ("ocr", line.ocr_loss),
        ("caption", line.caption_loss),
        ("sft", line.sft_loss),
        ("cells", line.cells_loss),
        ("tokens", line.tokens_loss),
        ("directions", line.directions_loss),
        ("next", line.next_loss),
        ("scale", line.visual_scale),
    ];
    join(&named)
}

fn join(named: &[(&str, Option<f64>)]) -> String {
    let parts: Vec<String> = named
        .iter()
        .filter_map(|(name, x)| Some(format!("{name} {:.3}", (*x)?)))
        .collect();
    parts.join(" ")
}

impl Reporter for Progress {
    fn step(&mut self, done: u64, line: &TrainLine) {
        if self.loss.is_empty() {
            self.loss = losses(line);
        }
        self.bar.set_message(format!(
            "stage {} {} {} {:.0} tokens/s",
            line.stage,
            sparkline(self.recent.iter().copied()),
            self.loss,
            line.tokens_per_s
        ));
        self.bar.set_position(done);
    }

    fn logged(&mut self, line: &TrainLine) {
        self.loss = losses(line);
        let main = [
            line.loss,
            line.sft_loss,
            line.ocr_loss,
            line.caption_loss,
            line.cells_loss,
        ];
        if let Some(loss) = main.into_iter().flatten().find(|loss| loss.is_finite()) {
            self.recent.push_back(loss);
            if self.recent.len() > SPARKS {
                self.recent.pop_front();
            }
        }
        if !self.terminal {
            let (step, steps, stage, rate) = (line.step, self.steps, line.stage, line.tokens_per_s);
            let left = indicatif::HumanDuration(self.bar.eta());
            self.line(&format!(
                "step {step}/{steps} stage {stage} {} {rate:.0} tokens/s, {left} left",
                self.loss
            ));
        }
    }

    fn evaluated(&mut self, line: &EvalLine) {
        let named = [
            ("loss", line.eval_loss),
            ("folded", line.eval_folded_loss),
            ("none", line.eval_none_loss),
            ("first16", line.eval_first16_loss),
            ("none first16", line.eval_none_first16_loss),
            ("first", line.eval_first_loss),
            ("none first", line.eval_none_first_loss),
            ("ocr", line.eval_ocr_loss),
            ("first page", line.eval_ocr_first_loss),
            ("wrong page", line.eval_ocr_wrong_loss),
            ("exact", line.eval_ocr_exact),
            ("cells", line.eval_cells_loss),
        ];
        self.line(&format!("validation after step {}: {}", line.step, join(&named)));
    }

    fn saved(&mut self, checkpoint: &Path) {
        self.line(&format!("saved {}", checkpoint.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sparkline_falls_with_the_loss() {
        assert_eq!(sparkline([8.0, 4.0, 0.0].into_iter()), "█▅▁");
        assert_eq!(sparkline([3.0, 3.0].into_iter()), "▁▁");
        assert_eq!(sparkline(std::iter::empty()), "");
    }
}
