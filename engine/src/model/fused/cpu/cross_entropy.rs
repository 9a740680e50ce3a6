//! Softmax and cross-entropy in one pass over the logits.

use super::super::Answers;
use super::flash_loops::{exponentials, maximum};
use super::wide::wide_fn;

wide_fn! {
    /// `logits`, `[n, classes]`, become the gradient of `Σ weight · −log p`; gives `−log p` of every answer. Answers are in
    /// order of their rows.
    pub(in super::super) fn cross_entropy(logits: &mut [f32], classes: usize, answers: &Answers) -> Vec<f32> {
        let mut nll = Vec::with_capacity(answers.rows.len());
        let mut at = 0;
        for (row, logits) in logits.chunks_exact_mut(classes).enumerate() {
            let end = at + answers.rows[at..].iter().take_while(|&&r| r == row).count();
            if at == end {
                logits.fill(0.0);
                continue;
            }
            let most = maximum(logits);
            for i in at..end {
                // The logits themselves: an improbable answer's probability would round to 0.
                nll.push(most - logits[answers.classes[i]]);
            }
            let sum = exponentials(logits, most);
            let log_sum = sum.ln();
            let weight: f32 = answers.weights[at..end].iter().sum();
            let factor = weight / sum;
            for x in logits.iter_mut() {
                *x *= factor;
            }
            for i in at..end {
                nll[i] += log_sum;
                logits[answers.classes[i]] -= answers.weights[i];
            }
            at = end;
        }
        nll
    }
}
