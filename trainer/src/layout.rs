//! A sample as the pieces of a document (spec section 5).

use crate::data::{ChunkSample, Sample, SampleKind};
use folio_engine::config::Config;
use folio_engine::context::Piece;
use folio_engine::model::DocumentTokens;

/// Lays a sample out for its task.
pub fn layout(sample: &Sample, config: &Config) -> DocumentTokens {
    let mut document = DocumentTokens::default();
    let mut push = |piece, ids: &[u32], pages: Option<&ChunkSample>| {
        document.pieces.push(piece);
        document.ids.push(ids.to_vec());
        document.patches.push(pages.map_or(Vec::new(), |c| {
            c.pages.iter().map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5).collect()
        }));
    };
    let (n, kind) = (sample.chunks.len(), sample.kind);
    if kind == SampleKind::Olm {
        push(Piece::Raw { tokens: 1 }, &[config.bos_token_id], None);
    }
    for (i, chunk) in sample.chunks.iter().enumerate() {
        let (tokens, visual) = (chunk.ids.len(), chunk.slots);
        match kind {
            SampleKind::Olm if i + 1 == n => push(Piece::Open { tokens }, &chunk.ids, None),
            SampleKind::Olm => push(Piece::Folded { tokens, visual }, &chunk.ids, Some(chunk)),
            SampleKind::Ocr => {
                push(Piece::Page { visual }, &[], Some(chunk));
                push(Piece::Raw { tokens }, &chunk.ids, None);
            }
            SampleKind::Read => push(Piece::Page { visual }, &[], Some(chunk)),
        }
    }
    document
}
