//! What a text token counts in the loss of a batch.

use crate::data::{Sample, SampleKind};
use crate::step::StepPlan;
use folio_engine::model::Target;

/// What the whole batch holds, so that shares weigh their tokens alike.
pub(crate) struct Totals {
    /// The weights of all predicted text tokens.
    pub(crate) text: f64,
    /// Visual tokens of all pages.
    pub(crate) slots: f64,
}

impl Totals {
    pub(crate) fn of(samples: &[Sample], first_weight: f64) -> Self {
        let (mut text, mut slots) = (0.0, 0.0);
        for sample in samples {
            for (i, chunk) in sample.chunks.iter().enumerate() {
                if sample.kind != SampleKind::Read {
                    let after_fold = sample.kind == SampleKind::Olm && i > 0 && !chunk.ids.is_empty();
                    text += chunk.ids.len() as f64 + if after_fold { first_weight - 1.0 } else { 0.0 };
                }
                if has_page(sample.kind, i, sample.chunks.len()) {
                    slots += chunk.slots as f64;
                }
            }
        }
        Self {
            text: text.max(1.0),
            slots: slots.max(1.0),
        }
    }
}

/// The last chunk of an `olm` sample stays open.
pub(crate) fn has_page(kind: SampleKind, chunk: usize, chunks: usize) -> bool {
    kind != SampleKind::Olm || chunk + 1 < chunks
}

/// Whether the last visual token of a page predicts `target`.
pub(crate) fn after_fold(kind: SampleKind, target: &Target) -> bool {
    kind == SampleKind::Olm && target.piece > 1 && target.offset == 0
}

/// What a text token's loss counts.
pub(crate) fn weight(kind: SampleKind, target: &Target, plan: &StepPlan) -> f64 {
    if after_fold(kind, target) {
        plan.first_weight
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ChunkSample;
    use crate::layout::layout;
    use burn_flex::Flex;
    use folio_engine::config::preset;
    use folio_engine::model::Packed;

    /// The loss is a weighted mean: what the batch's total says must be what its targets weigh.
    #[test]
    fn the_weights_of_all_targets_are_the_total() {
        let config = preset("folio-nano").expect("a preset");
        let patch = config.fold.as_ref().map_or(0, |fold| fold.vision.patch_len());
        let sample = |kind, lengths: &[usize]| Sample {
            kind,
            document: 0,
            start: 0,
            chunks: lengths
                .iter()
                .map(|&n| ChunkSample {
                    ids: vec![5; n],
                    pages: vec![0; 2 * patch],
                    slots: 2,
                    text: String::new(),
                    cells: Vec::new(),
                    patch_tokens: Vec::new(),
                })
                .collect(),
        };
        let plan = StepPlan {
            embedding_lr: 0.0,
            language_model_lr: 0.0,
            vision_lr: 0.0,
            aligner_lr: 0.0,
            cells_weight: 0.0,
            tokens_weight: 0.0,
            directions_weight: 0.0,
            first_weight: 5.0,
            clip_norm: 1.0,
        };
        for (kind, lengths, expected) in [
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 2.0 * 4.0),
            (SampleKind::Olm, vec![6], 6.0),
            (SampleKind::Ocr, vec![4, 3, 1], 8.0),
            (SampleKind::Read, vec![4, 3], 1.0),
        ] {
            let sample = sample(kind, &lengths);
            let packed = Packed::<Flex>::new(&[layout(&sample, &config)], false, (4, 2), patch, &Default::default());
            let weights: f64 = packed.targets.iter().map(|t| weight(kind, t, &plan)).sum();
            let total = Totals::of(std::slice::from_ref(&sample), plan.first_weight).text;
            assert_eq!(total, expected, "{kind:?} {lengths:?}");
            if kind != SampleKind::Read {
                assert_eq!(weights, total, "{kind:?} {lengths:?}");
            }
        }
    }
}
