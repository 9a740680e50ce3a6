//! What a text token counts in the loss of a batch.

use crate::Result;
use crate::data::Sample;
use crate::layout::{Place, follows_fold};
use crate::team::Team;
use crate::visual_next::following;

/// What the whole batch holds, so that shares weigh their tokens alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Totals {
    /// The weights of all predicted text tokens.
    pub(crate) text: f64,
    /// Visual tokens of all pages of text.
    pub(crate) slots: f64,
    /// Those in whose stretch of text a token begins.
    pub(crate) named: f64,
    /// Visual tokens that predict on inside folded pages; see [`crate::visual_next`].
    pub(crate) next: f64,
}

impl Totals {
    /// Of the batches of all processes: `self` is this one's.
    pub(crate) fn over(self, team: &dyn Team) -> Result<Self> {
        let sums = team.sum_exactly(vec![self.text, self.slots, self.named, self.next])?;
        Ok(Self {
            text: sums[0].max(1.0),
            slots: sums[1].max(1.0),
            named: sums[2].max(1.0),
            next: sums[3].max(1.0),
        })
    }

    pub(crate) fn of(samples: &[Sample], first: FirstTokens) -> Self {
        let (mut text, mut slots, mut named, mut next) = (0.0, 0.0, 0.0, 0.0);
        for sample in samples {
            for (i, chunk) in sample.chunks.iter().enumerate() {
                if chunk.learn && chunk.form.has_text() {
                    let after_fold = chunk.given == 0 && follows_fold(sample, i);
                    let first_ones = if after_fold {
                        first.tokens.min(chunk.ids.len())
                    } else {
                        0
                    };
                    text += chunk.own() as f64 + first_ones as f64 * (first.weight - 1.0);
                }
                next += following(chunk).count() as f64;
                if chunk.form.has_page() {
                    slots += chunk.slots as f64;
                    named += chunk.patch_tokens.iter().filter(|ids| !ids.is_empty()).count() as f64;
                }
            }
        }
        Self {
            text,
            slots,
            named,
            next,
        }
    }
}

/// What the first tokens after a fold count; all others count 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstTokens {
    /// How many.
    pub tokens: usize,
    /// What each counts.
    pub weight: f64,
}

impl FirstTokens {
    /// As much as all others.
    pub const ALIKE: Self = Self { tokens: 1, weight: 1.0 };
}

/// What a learnt token's loss counts: token `offset` of its chunk.
pub(crate) fn weight(place: Place, offset: usize, first: FirstTokens) -> f64 {
    if place.folded_before && offset < first.tokens {
        first.weight
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SampleKind;
    use crate::data::{ChunkSample, Form};
    use crate::layout::{Places, layout};
    use burn_flex::Flex;
    use folio_engine::config::preset;
    use folio_engine::model::Packed;

    /// The loss is a weighted mean: what the batch's total says must be what its targets weigh.
    #[test]
    fn the_weights_of_all_targets_are_the_total() {
        let config = preset("folio-nano").expect("a preset");
        let patch = config.fold.as_ref().map_or(0, |fold| fold.vision.patch_len());
        let sample = |kind, lengths: &[usize]| {
            Sample {
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
                        form: Form::Page,
                        learn: true,
                        given: 0,
                    })
                    .collect(),
            }
            .shaped(kind)
        };
        for (kind, lengths, expected, again) in [
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 3.0 * 4.0, false),
            (SampleKind::Olm, vec![6], 6.0, false),
            // What is read again before the last chunk counts nothing, and no token of it is behind a fold.
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 2.0 * 4.0, true),
            (SampleKind::Ocr, vec![4, 3, 1], 8.0, false),
            (SampleKind::Caption, vec![7], 7.0, false),
            (SampleKind::Read, vec![4, 3], 1.0, false),
        ] {
            let mut sample = sample(kind, &lengths);
            if again {
                sample = sample.unfolded(2);
            }
            let packed = Packed::<Flex>::new(&[layout(&sample, &config)], false, (4, 2), patch, &Default::default());
            let samples = [&sample];
            let places = Places::new(&samples);
            let learnt = packed
                .targets
                .iter()
                .map(|t| (places.of(t), t.offset))
                .filter(|(place, _)| place.learn || kind == SampleKind::Read);
            let first = FirstTokens { tokens: 2, weight: 5.0 };
            let weights: f64 = learnt.map(|(place, offset)| weight(place, offset, first)).sum();
            let total = Totals::of(std::slice::from_ref(&sample), first);
            let total = total.over(&crate::team::Alone).expect("alone").text;
            assert_eq!(total, expected, "{kind:?} {lengths:?}");
            if kind != SampleKind::Read {
                assert_eq!(weights, total, "{kind:?} {lengths:?}");
            }
        }
    }
}
