//! Samples that read again: the last chunk stands behind the text of an earlier page, as `--unfold 1` reads it, and every chunk
//! behind the end of the page before it where the model has `reread_tokens`.

use super::batch::{Form, Sample, SampleKind};
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

    /// The sample with the last `tokens` tokens of every page given once more in front of the chunk after it, unless that
    /// stands behind text that is read again already.
    #[must_use]
    pub fn rereading(mut self, tokens: usize) -> Self {
        // From the last one: what is put before a chunk is no part of its page.
        for i in (1..self.chunks.len()).rev() {
            let (before, after) = self.chunks.split_at_mut(i);
            let (page, chunk) = (&before[i - 1], &mut after[0]);
            let continues = matches!(chunk.form, Form::Folded | Form::Open) && chunk.given == 0;
            if continues && matches!(page.form, Form::Folded | Form::Page) {
                let own = &page.ids[page.given..];
                let again = &own[own.len().saturating_sub(tokens)..];
                chunk.given = again.len();
                chunk.ids.splice(0..0, again.iter().copied());
            }
        }
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
            (place.learn, place.after_page, place.given)
        };
        assert_eq!(
            [learn(0), learn(24), learn(25)],
            [(false, true, 25), (false, true, 25), (true, true, 25)]
        );
    }

    #[test]
    fn the_end_of_every_page_is_given_before_the_chunk_after_it() {
        let chunks = [
            (0..20).collect::<Vec<u32>>(),
            (40..43).collect(),
            (70..90).collect(),
            (100..110).collect(),
        ];
        let given = |sample: &Sample| -> Vec<Vec<u32>> {
            let of = |chunk: &ChunkSample| chunk.ids[..chunk.given].to_vec();
            sample.chunks.iter().map(of).collect()
        };
        let plain = sample(&chunks);
        let again = plain.clone().rereading(5);
        // Of a page that is shorter, all; never what was given before its own text.
        let right = [
            vec![],
            (15..20).collect(),
            (40..43).collect(),
            (85..90).collect::<Vec<u32>>(),
        ];
        assert_eq!(given(&again), right);
        assert_eq!(again.tokens(), plain.tokens());
        assert_eq!(plain.clone().rereading(0), plain);
        // A chunk that follows a whole page read again has its tail already.
        let unfolded = plain.clone().unfolded(5).rereading(5);
        assert_eq!(given(&unfolded)[..3], right[..3]);
        assert_eq!(unfolded.chunks[3], plain.unfolded(5).chunks[3]);
        let read = sample(&chunks).shaped(SampleKind::Ocr);
        assert_eq!(read.clone().rereading(5), read);
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
