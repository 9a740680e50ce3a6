//! An auxiliary loss: every visual token of a folded page predicts the token that follows its stretch of text, not only the
//! page's last one (spec section 3; with `reread_tokens`, text behind the page predicts what that would). A page's last visual token is one of a whole chunk's predictions, too few to learn from
//! what a strip says about what comes next.
//!
//! The vision encoder attends both ways over a page, so it would learn to hand a visual token the strip behind its own: it never
//! learns from this loss (`step_plan.rs`). The last visual token has nothing behind it: `first_loss` beside `next_loss` tells
//! (they stay together where nothing is handed back).
//!
//! With `visual_sees_text` a visual token would see what it is to predict: in steps with this loss it sees its page's text up
//! to the end of its own stretch ([`text_read`]). The last one sees all, as it does elsewhere.

use crate::data::{ChunkSample, Form, Sample};
use crate::layout::chunks_of_pieces;
use burn::tensor::backend::Backend;
use folio_engine::context::Piece;
use folio_engine::model::{DocumentTokens, Packed, Target};

/// What a chunk's visual tokens predict, but for the last: offset and token. Nothing where the chunk is not folded.
pub(crate) fn following(chunk: &ChunkSample) -> impl Iterator<Item = (usize, u32)> {
    let patches = if chunk.form == Form::Folded {
        &chunk.patch_tokens[..]
    } else {
        &[]
    };
    let following = patches.iter().skip(1).enumerate();
    following.filter_map(|(offset, ids)| Some((offset, *ids.first()?)))
}

/// How many tokens of its page's text each visual token may see while it is to predict what follows: those that begin in its
/// patch or before it, and of the last one all. By piece of `document`, which `sample` was laid out as.
pub(crate) fn text_read(document: &DocumentTokens, sample: &Sample) -> Vec<Vec<usize>> {
    let chunks = chunks_of_pieces(sample);
    let of_piece = |(piece, chunk): (&Piece, Option<usize>)| {
        let (Piece::Folded { tokens, .. }, Some(chunk)) = (piece, chunk) else {
            return Vec::new();
        };
        let chunk = &sample.chunks[chunk];
        let begun = chunk.patch_tokens.iter().scan(chunk.given, |n, ids| {
            *n += ids.len();
            Some(*n)
        });
        let mut seen: Vec<usize> = begun.collect();
        if let Some(last) = seen.last_mut() {
            *last = *tokens;
        }
        seen
    };
    document.pieces.iter().zip(chunks).map(of_piece).collect()
}

/// What the visual tokens of folded pages predict, but for each page's last: the first token whose text begins in the next
/// patch. Patches in which none begins are left out. `samples[d]` is document `d` of the batch.
pub(crate) fn next_targets<B: Backend>(samples: &[&Sample], packed: &Packed<B>) -> Vec<Target> {
    let rows = packed.memory + packed.chunks * packed.chunk_len;
    let mut targets = Vec::new();
    for (document, sample) in samples.iter().enumerate() {
        // What stays is a slot, and the memory's rows come first.
        let mut slot = usize::from(sample.kind.starts_with_bos());
        for (piece, chunk) in sample.chunks.iter().enumerate() {
            match chunk.form {
                Form::Folded => {
                    targets.extend(following(chunk).map(|(offset, id)| Target {
                        document,
                        row: document * rows + slot + offset,
                        id,
                        piece,
                        offset,
                    }));
                    slot += chunk.slots;
                }
                Form::Page => slot += chunk.slots,
                Form::PageText => slot += chunk.slots + chunk.ids.len(),
                Form::Raw | Form::Kept | Form::Window => slot += chunk.ids.len(),
                Form::Open | Form::Dropped => {}
            }
        }
    }
    targets
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::{ChunkSample, SampleKind};
    use crate::layout::layout;
    use burn_flex::Flex;
    use folio_engine::config::preset;
    use folio_engine::context::{ElementKind, Layout};

    #[test]
    fn the_rows_are_those_of_the_visual_tokens() {
        let config = preset("folio-nano").unwrap();
        let patch = config.fold.as_ref().unwrap().vision.patch_len();
        let chunk = |slots: usize, first: u32| ChunkSample {
            ids: vec![5; 4 * slots],
            pages: vec![0; slots * patch],
            slots,
            text: String::new(),
            cells: Vec::new(),
            // None begins in the second patch.
            patch_tokens: (0..slots as u32)
                .map(|t| if t == 1 { vec![] } else { vec![first + t, 9] })
                .collect(),
            form: Form::Page,
            learn: true,
            given: 0,
        };
        let sample = |chunks: Vec<ChunkSample>| {
            let sample = Sample {
                kind: SampleKind::Olm,
                document: 0,
                start: 0,
                chunks,
            };
            sample.shaped(SampleKind::Olm)
        };
        let (one, other) = (
            sample(vec![chunk(3, 100), chunk(1, 200), chunk(4, 300), chunk(1, 0)]),
            sample(vec![chunk(2, 400), chunk(3, 500), chunk(2, 0)]),
        );
        let documents = [layout(&one, &config), layout(&other, &config)];
        let packed = Packed::<Flex>::new(&documents, false, (4, 2), patch, &Default::default());
        let targets = next_targets(&[&one, &other], &packed);
        let found: Vec<(usize, u32)> = targets.iter().map(|t| (t.document, t.id)).collect();
        assert_eq!(found, [(0, 102), (0, 302), (0, 303), (1, 502)]);
        // Of its text, a visual token sees what ends with its own patch; what it is to predict comes behind that.
        let seen = text_read(&documents[0], &one);
        assert_eq!(seen, [vec![], vec![2, 2, 12], vec![4], vec![2, 2, 4, 16], vec![]]);
        assert_eq!(text_read(&documents[1], &other)[1..3], [vec![2, 8], vec![2, 2, 12]]);
        // The rows have the positions that the layout gives those visual tokens, and are nobody else's targets.
        for (document, pieces, piece, offset, id) in [
            (0, &documents[0].pieces, 1, 1, 102),
            (0, &documents[0].pieces, 3, 1, 302),
            (0, &documents[0].pieces, 3, 2, 303),
            (1, &documents[1].pieces, 2, 1, 502),
        ] {
            let layout = Layout::new(pieces, false);
            let element = layout
                .elements()
                .iter()
                .find(|e| e.kind == ElementKind::Visual && (e.piece, e.offset) == (piece, offset))
                .unwrap();
            let target = targets.iter().find(|t| t.id == id).unwrap();
            assert_eq!(packed.positions[target.row], element.position);
            let size = packed.memory + packed.chunks * packed.chunk_len;
            assert_eq!((target.row / size, target.row % size), (document, element.position));
            assert_eq!(target.document, document);
            assert!(packed.targets.iter().all(|t| t.row != target.row));
        }
    }
}
