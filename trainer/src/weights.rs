//! What a text token counts in the loss of a batch.

use crate::Result;
use crate::data::{ChunkSample, Form, Sample};
use crate::layout::follows_fold;
use crate::team::Team;
use crate::visual_next::following;
use std::collections::HashSet;

/// Tokens of a run that repeats an earlier page: as short as a name with the word before it in a text of characters.
const RUN: usize = 12;

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

    /// `reread`: the model's `reread_tokens`.
    pub(crate) fn of(samples: &[Sample], weighing: Weighing, reread: usize) -> Self {
        let (mut text, mut slots, mut named, mut next) = (0.0, 0.0, 0.0, 0.0);
        for sample in samples {
            text += weights(sample, weighing, reread).iter().flatten().sum::<f64>();
            for chunk in &sample.chunks {
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

/// What text tokens count in the loss, against 1 for all others. Of two weights a token has the greater.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighing {
    /// How many tokens after a fold count `first_weight`.
    pub first_tokens: usize,
    /// What each of them counts.
    pub first_weight: f64,
    /// What a token counts that repeats an earlier page.
    pub repeat_weight: f64,
}

impl Weighing {
    /// All tokens alike.
    pub const ALIKE: Self = Self {
        first_tokens: 1,
        first_weight: 1.0,
        repeat_weight: 1.0,
    };
}

/// What every learnt token's loss counts, chunk by chunk (nothing of chunks that are not learnt): the chunk's own tokens, in
/// order. `reread`: the model's `reread_tokens`.
pub(crate) fn weights(sample: &Sample, weighing: Weighing, reread: usize) -> Vec<Vec<f64>> {
    let repeats = (weighing.repeat_weight != 1.0).then(|| repeats(sample));
    let of_chunk = |(i, chunk): (usize, &ChunkSample)| {
        if !chunk.learn || !chunk.form.has_text() {
            return Vec::new();
        }
        // Whole pages that are read again stand between fold and chunk, and tell what it begins with.
        let first = if chunk.given <= reread && follows_fold(sample, i) {
            weighing.first_tokens
        } else {
            0
        };
        let weight = |offset| {
            let first = (offset < first).then_some(weighing.first_weight);
            let repeat = repeats.as_ref().is_some_and(|repeats| repeats[i][offset]);
            let repeat = repeat.then_some(weighing.repeat_weight);
            match (first, repeat) {
                (Some(first), Some(repeat)) => first.max(repeat),
                (first, repeat) => first.or(repeat).unwrap_or(1.0),
            }
        };
        (0..chunk.own()).map(weight).collect()
    };
    sample.chunks.iter().enumerate().map(of_chunk).collect()
}

/// Of every chunk, which of its own tokens end a run of [`RUN`] tokens that stands, all of it, on pages before it (in a control:
/// in what would be pages). What the text repeats is what memory can tell; a key that is asked for is a few tokens in thousands.
fn repeats(sample: &Sample) -> Vec<Vec<bool>> {
    let own = |chunk: &ChunkSample| chunk.ids[chunk.given..].to_vec();
    let text: Vec<u32> = sample.chunks.iter().flat_map(own).collect();
    let mut before: HashSet<&[u32]> = HashSet::new();
    // Where the chunk begins, and where the text before it that stands on pages without a gap is not told of yet.
    let (mut start, mut told) = (0, 0);
    let of_chunk = |(i, chunk): (usize, &ChunkSample)| {
        let form = i.checked_sub(1).map(|before| sample.chunks[before].form);
        if form.is_some_and(|form| form == Form::Page || form.ends_in_fold()) {
            before.extend(text[told..start].windows(RUN));
            // The runs over the cut come with the next page.
            told = told.max(start.saturating_sub(RUN - 1));
        } else {
            told = start;
        }
        let ends = start..start + chunk.own();
        start = ends.end;
        ends.map(|end| end + 1 >= RUN && before.contains(&text[end + 1 - RUN..=end]))
            .collect()
    };
    sample.chunks.iter().enumerate().map(of_chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SampleKind;
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
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 3.0 * 4.0, 0),
            (SampleKind::Olm, vec![6], 6.0, 0),
            // Before the last chunk, a page is read again: it counts nothing, and no token behind it counts more.
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 2.0 * 4.0, 2),
            // Behind the end of a page, read again after its fold, those that begin the chunk do.
            (SampleKind::Olm, vec![4, 3, 1], 8.0 + 3.0 * 4.0, 1),
            (SampleKind::Ocr, vec![4, 3, 1], 8.0, 0),
            (SampleKind::Caption, vec![7], 7.0, 0),
            (SampleKind::Read, vec![4, 3], 1.0, 0),
        ] {
            let mut sample = sample(kind, &lengths);
            sample = match again {
                2 => sample.unfolded(2),
                n => sample.rereading(n),
            };
            let packed = Packed::<Flex>::new(&[layout(&sample, &config)], false, (4, 2), patch, &Default::default());
            let samples = [&sample];
            let places = Places::new(&samples);
            let weighing = Weighing {
                first_tokens: 2,
                first_weight: 5.0,
                ..Weighing::ALIKE
            };
            let weights = weights(&sample, weighing, 1);
            let learnt = packed.targets.iter().filter(|t| places.of(t).learn);
            let weights: f64 = learnt.map(|t| places.of(t).weight(t, &weights)).sum();
            let total = Totals::of(std::slice::from_ref(&sample), weighing, 1);
            let total = total.over(&crate::team::Alone).expect("alone").text;
            assert_eq!(total, expected, "{kind:?} {lengths:?}");
            if kind != SampleKind::Read {
                assert_eq!(weights, total, "{kind:?} {lengths:?}");
            }
        }
    }

    #[test]
    fn what_stands_on_an_earlier_page_counts_more() {
        let own = |ids: Vec<u32>, given: Vec<u32>| ChunkSample {
            given: given.len(),
            ids: [given, ids].concat(),
            pages: Vec::new(),
            slots: 0,
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form: Form::Page,
            learn: true,
        };
        let run = |from: u32, n: u32| (from..from + n).collect::<Vec<u32>>();
        let sample = Sample {
            kind: SampleKind::Olm,
            document: 0,
            start: 0,
            chunks: vec![
                own(run(100, 20), vec![]),
                // Runs over a cut count; what only the chunk itself says does not.
                own(
                    [run(120, 10), run(100, 14), run(300, 12), run(300, 12)].concat(),
                    vec![],
                ),
                own([run(115, 13), vec![1]].concat(), run(300, 12)),
            ],
        }
        .shaped(SampleKind::Olm);
        let found = repeats(&sample);
        let places = |i: usize| -> Vec<usize> { (0..found[i].len()).filter(|&t| found[i][t]).collect() };
        assert_eq!(places(0), Vec::<usize>::new());
        assert_eq!(places(1), [21, 22, 23]);
        assert_eq!(places(2), [11, 12]);
        let weighing = Weighing {
            first_tokens: 1,
            first_weight: 2.0,
            repeat_weight: 3.0,
        };
        let counted: Vec<f64> = weights(&sample, weighing, 0).iter().map(|w| w.iter().sum()).collect();
        // The second chunk has a first token after a fold; before the third, text is read again.
        assert_eq!(counted, [20.0, 48.0 + 1.0 + 3.0 * 2.0, 14.0 + 2.0 * 2.0]);
    }

    #[test]
    fn a_prompts_pages_are_pages_before_a_reply_and_its_raw_text_is_none() {
        let run = |from: u32, n: u32| (from..from + n).collect::<Vec<u32>>();
        let chunk = |ids: Vec<u32>, form| ChunkSample {
            ids,
            pages: Vec::new(),
            slots: 0,
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form,
            learn: true,
            given: 0,
        };
        let sample = Sample {
            kind: SampleKind::Sft,
            document: 0,
            start: 0,
            chunks: vec![
                chunk(run(100, 14), Form::Page),
                chunk(run(200, 14), Form::Raw),
                chunk([run(100, 14), run(200, 14)].concat(), Form::Folded),
                chunk(run(200, 14), Form::Open),
            ],
        };
        let counts = |chunks: Vec<Vec<bool>>| {
            chunks
                .iter()
                .map(|c| c.iter().filter(|&&x| x).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(repeats(&sample)), [0, 0, 3, 3]);
        // The same text counts in a control.
        assert_eq!(
            counts(repeats(&sample.remembering(crate::data::Memory::Full))),
            [0, 0, 3, 3]
        );
    }
}
