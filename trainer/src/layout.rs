//! A sample as the pieces of a document (spec section 5).

use crate::data::{ChunkSample, Form, Sample};
use folio_engine::config::Config;
use folio_engine::context::Piece;
use folio_engine::model::{DocumentTokens, Target};

/// Lays a sample out by the forms of its chunks.
pub fn layout(sample: &Sample, config: &Config) -> DocumentTokens {
    let mut document = DocumentTokens::default();
    let mut push = |piece, ids: &[u32], page: Option<&ChunkSample>| {
        document.pieces.push(piece);
        document.ids.push(ids.to_vec());
        document.patches.push(page.map_or(Vec::new(), |c| {
            c.pages.iter().map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5).collect()
        }));
        document
            .page_ids
            .push(page.map_or(Vec::new(), |c| c.ids[c.given..].to_vec()));
    };
    if sample.kind.starts_with_bos() {
        push(Piece::Raw { tokens: 1 }, &[config.bos_token_id], None);
    }
    // The sliding-window control holds as many slots as folding with what it reads again.
    let mut again = config.fold.as_ref().map_or(0, |fold| fold.reread_tokens);
    for chunk in &sample.chunks {
        let (tokens, mut visual) = (chunk.ids.len(), chunk.slots);
        if chunk.form == Form::Window {
            visual += std::mem::take(&mut again);
        }
        match chunk.form {
            Form::Page => push(Piece::Page { visual }, &[], Some(chunk)),
            Form::PageText => {
                push(Piece::Page { visual }, &[], Some(chunk));
                push(Piece::Raw { tokens }, &chunk.ids, None);
            }
            Form::Folded => push(Piece::Folded { tokens, visual }, &chunk.ids, Some(chunk)),
            Form::Open => push(Piece::Open { tokens }, &chunk.ids, None),
            Form::Raw | Form::Kept => push(Piece::Raw { tokens }, &chunk.ids, None),
            Form::Window => push(Piece::Windowed { tokens, visual }, &chunk.ids, None),
            Form::Dropped => push(Piece::Dropped { tokens }, &chunk.ids, None),
        }
    }
    document
}

/// Which chunk each piece of [`layout`] belongs to; `None` for BOS.
pub fn chunks_of_pieces(sample: &Sample) -> Vec<Option<usize>> {
    let bos = sample.kind.starts_with_bos().then_some(None);
    let pieces = sample.chunks.iter().enumerate().flat_map(|(i, chunk)| {
        let pieces = if chunk.form == Form::PageText { 2 } else { 1 };
        std::iter::repeat_n(Some(i), pieces)
    });
    bos.into_iter().chain(pieces).collect()
}

/// What the losses need to know of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whether it is learnt.
    pub learn: bool,
    /// Whether its chunk follows a fold, with or without text that is read again between.
    pub after_page: bool,
    /// Tokens before its chunk's own that are read again.
    pub given: usize,
    /// Which of the sample's chunks is its chunk; none of BOS.
    chunk: Option<usize>,
}

impl Place {
    /// What `target`, whose place this is, counts by the [`weights`](crate::weights::weights) of its sample; 0 of what is not learnt.
    pub(crate) fn weight(&self, target: &Target, weights: &[Vec<f64>]) -> f64 {
        let own = target.offset.checked_sub(self.given);
        let weight = || weights.get(self.chunk?)?.get(own?).copied();
        weight().unwrap_or(0.0)
    }
}

/// The places of targets in documents that were laid out from samples.
#[derive(Debug)]
pub struct Places<'s> {
    samples: Vec<(&'s Sample, Vec<Option<usize>>)>,
}

impl<'s> Places<'s> {
    /// Of the batch whose document `d` is `samples[d]`.
    pub fn new(samples: &[&'s Sample]) -> Self {
        Self {
            samples: samples.iter().map(|s| (*s, chunks_of_pieces(s))).collect(),
        }
    }

    /// Of one target.
    pub fn of(&self, target: &Target) -> Place {
        let (sample, chunks) = &self.samples[target.document];
        let Some(i) = chunks[target.piece] else {
            return Place {
                learn: false,
                after_page: false,
                given: 0,
                chunk: None,
            };
        };
        let chunk = &sample.chunks[i];
        let after_page = follows_fold(sample, i);
        Place {
            learn: chunk.learn && target.offset >= chunk.given,
            after_page,
            given: chunk.given,
            chunk: Some(i),
        }
    }
}

/// Whether chunk `i` follows a chunk that was folded (or would have been, in a control).
pub(crate) fn follows_fold(sample: &Sample, i: usize) -> bool {
    i > 0 && sample.chunks[i - 1].form.ends_in_fold()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::SampleKind;
    use burn_flex::Flex;
    use folio_engine::config::preset;
    use folio_engine::model::Packed;

    #[test]
    fn every_target_finds_its_chunk() {
        let config = preset("folio-nano").unwrap();
        let patch = config.fold.as_ref().unwrap().vision.patch_len();
        let chunk = |form, learn, n: usize| ChunkSample {
            ids: vec![5; n],
            pages: if form == Form::Raw {
                Vec::new()
            } else {
                vec![0; 2 * patch]
            },
            slots: if form == Form::Raw { 0 } else { 2 },
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form,
            learn,
            given: 0,
        };
        let chunks = vec![
            chunk(Form::Raw, false, 3),
            chunk(Form::Page, false, 9),
            chunk(Form::PageText, true, 4),
            chunk(Form::Raw, false, 2),
            chunk(Form::Folded, true, 5),
            chunk(Form::Open, true, 1),
        ];
        let sample = Sample {
            kind: SampleKind::Sft,
            document: 0,
            start: 0,
            chunks,
        };
        let chunks = chunks_of_pieces(&sample);
        assert_eq!(
            chunks,
            [None, Some(0), Some(1), Some(2), Some(2), Some(3), Some(4), Some(5)]
        );
        let document = layout(&sample, &config);
        assert_eq!(document.pieces.len(), chunks.len());
        let packed = Packed::<Flex>::new(&[document], false, (4, 2), patch, &Default::default());
        let places = Places::new(&[&sample]);
        let learnt = packed.targets.iter().filter(|t| places.of(t).learn).count();
        assert_eq!((packed.targets.len(), learnt), (3 + 4 + 2 + 5 + 1, 4 + 5 + 1));
        let after: Vec<_> = packed
            .targets
            .iter()
            .filter(|t| places.of(t).after_page && t.offset == 0)
            .collect();
        assert_eq!(after.len(), 1);
        assert_eq!((after[0].piece, after[0].offset), (7, 0));
    }
}
