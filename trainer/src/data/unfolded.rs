//! Samples that unfold: the last chunk stands behind the text of an earlier page, as `--unfold 1` reads it again.

use super::batch::{Sample, SampleKind};
use folio_engine::session::{most_asked, reread};
use std::ops::Range;

/// Tokens of the runs by which page and chunk are compared.
const RUN: usize = 6;

impl Sample {
    /// The sample with an earlier page's text, and the last `tail` tokens before the last chunk (the model's β), given once more
    /// in front of it. The page is the one that shares most runs of tokens with the chunk, the newest of equals:
    /// what the chunk would ask for. Other samples than `olm` and those without a fold stay as they are.
    #[must_use]
    pub fn unfolded(mut self, tail: usize) -> Self {
        if self.kind != SampleKind::Olm || self.chunks.len() < 2 {
            return self;
        }
        let Some((last, before)) = self.chunks.split_last_mut() else {
            return self;
        };
        let asked: Vec<f64> = before.iter().map(|page| in_common(&page.ids, &last.ids)).collect();
        let mut at: Vec<Range<usize>> = Vec::with_capacity(before.len());
        for page in &*before {
            let start = at.last().map_or(0, |page| page.end);
            at.push(start..start + page.ids.len());
        }
        let ids: Vec<u32> = before.iter().flat_map(|page| &page.ids).copied().collect();
        let mut again = Vec::new();
        for stretch in reread(&at, &most_asked(&asked, 1), ids.len(), tail) {
            again.extend_from_slice(&ids[stretch]);
        }
        last.given = again.len();
        again.append(&mut last.ids);
        last.ids = again;
        self
    }
}

/// How many runs of tokens of `chunk` stand on a page.
fn in_common(page: &[u32], chunk: &[u32]) -> f64 {
    let runs: std::collections::HashSet<&[u32]> = page.windows(RUN).collect();
    chunk.windows(RUN).filter(|run| runs.contains(run)).count() as f64
}

#[cfg(test)]
mod tests {
    use super::super::batch::{ChunkSample, Form};
    use super::*;
    use crate::layout::{Places, layout};
    use folio_engine::config::preset;
    use folio_engine::context::Piece;
    use folio_engine::model::Target;

    fn sample(chunks: &[Vec<u32>]) -> Sample {
        let chunk = |ids: &Vec<u32>| ChunkSample {
            ids: ids.clone(),
            pages: Vec::new(),
            slots: 2,
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form: Form::Page,
            learn: true,
            given: 0,
        };
        let chunks = chunks.iter().map(chunk).collect();
        Sample {
            kind: SampleKind::Olm,
            document: 0,
            start: 0,
            chunks,
        }
        .shaped(SampleKind::Olm)
    }

    #[test]
    fn the_page_that_says_the_same_is_given_and_not_learnt() {
        let pages = [
            (0..20).collect::<Vec<u32>>(),
            (100..120).collect(),
            (200..220).collect(),
        ];
        let mut chunks = pages.to_vec();
        // Seven tokens of the first page, after one that it does not have.
        chunks.push([&[300][..], &pages[0][4..11]].concat());
        let sample = sample(&chunks).unfolded(5);
        let last = &sample.chunks[3];
        let given = [&pages[0][..], &pages[2][15..]].concat();
        assert_eq!((last.given, &last.ids[..25]), (25, &given[..]));
        assert_eq!(last.ids[25..], chunks[3]);
        assert_eq!(sample.tokens(), 3 * 20 + 8);
        // The others are folded as ever, and what is learnt of the last begins behind what is given.
        let config = preset("folio-nano").expect("a preset");
        let document = layout(&sample, &config);
        assert_eq!(document.pieces[4], Piece::Open { tokens: 33 });
        let samples = [&sample];
        let places = Places::new(&samples);
        let learn = |offset| {
            let target = Target {
                document: 0,
                row: 0,
                id: 0,
                piece: 4,
                offset,
            };
            let place = places.of(&target);
            (place.learn, place.after_fold)
        };
        assert_eq!(
            [learn(0), learn(24), learn(25)],
            [(false, false), (false, false), (true, false)]
        );
    }

    #[test]
    fn without_a_fold_or_another_layout_nothing_is_given() {
        let one = sample(&[(0..9).collect()]);
        assert_eq!(one.clone().unfolded(5), one);
        let read = sample(&[(0..9).collect(), (0..9).collect()]).shaped(SampleKind::Ocr);
        assert_eq!(read.clone().unfolded(5), read);
    }

    #[test]
    fn the_newest_page_is_not_given_twice() {
        let sample = sample(&[(0..20).collect(), (40..60).collect(), (70..80).collect()]).unfolded(5);
        assert_eq!(sample.chunks[2].given, 20);
    }
}
