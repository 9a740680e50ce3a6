//! What training steps report.

use crate::data::SampleKind;

/// What a step reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepStats {
    /// Mean NLL (nats) of text tokens in `olm` samples.
    pub olm: Mean,
    /// Mean NLL (nats) of text tokens in `ocr` samples.
    pub ocr: Mean,
    /// Mean NLL (nats) of captions.
    pub caption: Mean,
    /// Mean NLL (nats) of responses in `sft` samples.
    pub sft: Mean,
    /// Mean NLL of the first 16 tokens of chunks that follow a fold.
    pub first16: Mean,
    /// Cell-naming loss (nats a cell).
    pub cells: Mean,
    /// Token-naming loss (nats a patch).
    pub tokens: Mean,
    /// Loss of naming tokens by direction (nats a patch).
    pub directions: Mean,
    /// NLL of the token that follows a visual token's stretch of text.
    pub next: Mean,
    /// NLL of the first token after a fold.
    pub first: Mean,
    /// RMS of the visual tokens over that of the token embedding.
    pub visual_scale: Mean,
    /// Gradient norm of the language side before clipping.
    pub language_norm: f64,
    /// Gradient norm of the vision side before clipping.
    pub vision_norm: f64,
    /// Text tokens seen.
    pub text_tokens: usize,
}

/// A sum and its count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// Adds `count` values that sum to `sum`.
    pub fn add(&mut self, sum: f64, count: f64) {
        self.sum += sum;
        self.count += count;
    }

    /// Adds another mean's values.
    pub fn merge(&mut self, other: Mean) {
        self.add(other.sum, other.count);
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean, or `None` when nothing was added.
    pub fn get(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

impl StepStats {
    /// The mean that the text of `kind` goes into (`read` has none: it gets `olm`'s and adds nothing).
    pub(crate) fn of_kind(&mut self, kind: SampleKind) -> &mut Mean {
        match kind {
            SampleKind::Ocr => &mut self.ocr,
            SampleKind::Caption => &mut self.caption,
            SampleKind::Sft => &mut self.sft,
            SampleKind::Olm | SampleKind::Read => &mut self.olm,
        }
    }

    /// What a stage of `kind` lowers: the loss of its text, or of naming cells.
    pub fn loss_of(&self, kind: SampleKind) -> Option<f64> {
        match kind {
            SampleKind::Read => self.cells.get(),
            SampleKind::Ocr => self.ocr.get(),
            SampleKind::Olm => self.olm.get(),
            SampleKind::Caption => self.caption.get(),
            SampleKind::Sft => self.sft.get(),
        }
    }

    fn means(&mut self) -> [&mut Mean; 11] {
        [
            &mut self.olm,
            &mut self.ocr,
            &mut self.caption,
            &mut self.sft,
            &mut self.first16,
            &mut self.cells,
            &mut self.tokens,
            &mut self.directions,
            &mut self.next,
            &mut self.first,
            &mut self.visual_scale,
        ]
    }

    /// Sums and counts, to be summed over processes; norms are no part of them.
    pub(crate) fn numbers(&mut self) -> Vec<f64> {
        let tokens = self.text_tokens as f64;
        let means = self.means().into_iter().flat_map(|mean| [mean.sum, mean.count]);
        means.chain([tokens]).collect()
    }

    /// What [`Self::numbers`] gave, summed.
    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        for (mean, pair) in self.means().into_iter().zip(numbers.chunks_exact(2)) {
            (mean.sum, mean.count) = (pair[0], pair[1]);
        }
        self.text_tokens = numbers.last().map_or(0, |&tokens| tokens as usize);
    }

    /// Adds another share's (or step's) values; norms are kept from the last.
    pub fn merge(&mut self, other: &StepStats) {
        self.olm.merge(other.olm);
        self.ocr.merge(other.ocr);
        self.caption.merge(other.caption);
        self.sft.merge(other.sft);
        self.first16.merge(other.first16);
        self.cells.merge(other.cells);
        self.tokens.merge(other.tokens);
        self.directions.merge(other.directions);
        self.next.merge(other.next);
        self.first.merge(other.first);
        self.visual_scale.merge(other.visual_scale);
        self.text_tokens += other.text_tokens;
        self.language_norm = other.language_norm;
        self.vision_norm = other.vision_norm;
    }
}
