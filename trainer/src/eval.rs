//! Validation: the same windows every time, without gradients.

use crate::aux_loss::CellHead;
use crate::data::{ChunkSample, Memory, Sample, SampleKind, SampleRequest, Windows};
use crate::layout::layout;
use crate::offsets::ByOffset;
use crate::recipe::EvalRecipe;
use crate::stats::Mean;
use folio_engine::config::Config;
use folio_engine::context::Piece;
use folio_engine::model::{DocumentTokens, Fused, Hidden, Packed, Target, Vist2};

/// Means over the validation windows, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EvalStats {
    /// NLL of all text tokens, folded.
    pub olm: Mean,
    /// NLL of the tokens of chunks after the first, folded.
    pub folded: Mean,
    /// NLL of the same tokens when each chunk stands alone after BOS: what memory, and what is read again of it, is worth is the
    /// difference.
    pub none: Mean,
    /// `folded`, first 16 tokens of a chunk only.
    pub first16: Mean,
    /// `none`, first 16 tokens of a chunk only.
    pub none_first16: Mean,
    /// NLL of text read back from pages.
    pub ocr: Mean,
    /// `ocr`, the first page only: no text before it helps.
    pub ocr_first: Mean,
    /// `ocr_first` when the page before the text is another one: what reading is worth is the difference.
    pub ocr_wrong: Mean,
    /// Share of the first page's tokens that are the most likely ones when reading it back.
    pub ocr_exact: Mean,
    /// NLL of the first token of a chunk after a fold: it tells whether the last visual token (or what is read again) tells the last
    /// word.
    pub first: Mean,
    /// `first`, each chunk alone after BOS.
    pub none_first: Mean,
    /// Cell-naming loss, per cell.
    pub cells: Mean,
    /// `folded` by offset inside the chunk.
    pub folded_by_offset: ByOffset,
    /// `none` by offset inside the chunk.
    pub none_by_offset: ByOffset,
}

impl EvalStats {
    fn merge(&mut self, other: &Self) {
        self.olm.merge(other.olm);
        self.folded.merge(other.folded);
        self.none.merge(other.none);
        self.first16.merge(other.first16);
        self.none_first16.merge(other.none_first16);
        self.ocr.merge(other.ocr);
        self.ocr_first.merge(other.ocr_first);
        self.ocr_wrong.merge(other.ocr_wrong);
        self.ocr_exact.merge(other.ocr_exact);
        self.first.merge(other.first);
        self.none_first.merge(other.none_first);
        self.cells.merge(other.cells);
        self.folded_by_offset.merge(&other.folded_by_offset);
        self.none_by_offset.merge(&other.none_by_offset);
    }
}

/// Validates `model` on the windows that `eval` asks for, over `threads` threads. Under a control's `memory`, "folded" is
/// what the control does with finished chunks, and nothing is read back where there are no pages.
///
/// # Panics
/// If the model cannot fold, which preparing the run has ruled out.
pub fn evaluate<B: Fused>(
    model: &Vist2<B>,
    head: &CellHead<B>,
    windows: &Windows,
    (eval, memory): (&EvalRecipe, Memory),
    threads: usize,
    device: &B::Device,
) -> EvalStats {
    let indices: Vec<u64> = (0..eval.documents as u64).collect();
    let mut stats = EvalStats::default();
    std::thread::scope(|scope| {
        let handles: Vec<_> = indices
            .chunks(indices.len().div_ceil(threads.max(1)).max(1))
            .map(|share| {
                let (model, head, device) = (model.clone(), head.clone(), device.clone());
                scope.spawn(move || {
                    let mut stats = EvalStats::default();
                    for &index in share {
                        let request = SampleRequest {
                            index,
                            chunks: eval.chunks,
                            ..SampleRequest::default()
                        };
                        let sample = windows.remembering(&request, memory);
                        stats.merge(&of_sample(&model, &head, sample, memory, &device));
                    }
                    stats
                })
            })
            .collect();
        for handle in handles {
            match handle.join() {
                Ok(share) => stats.merge(&share),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    stats
}

fn of_sample<B: Fused>(
    model: &Vist2<B>,
    head: &CellHead<B>,
    sample: Sample,
    memory: Memory,
    device: &B::Device,
) -> EvalStats {
    let config = model.config.clone();
    let fold = config.fold.as_ref().expect("the recipe is checked: the model can fold");
    let mut stats = EvalStats::default();
    let pack = |documents: &[DocumentTokens], sees_text| {
        let heads = (config.text.num_attention_heads, config.text.num_key_value_heads);
        Packed::<B>::new(documents, sees_text, heads, fold.vision.patch_len(), device)
    };
    // Folded.
    let again = sample.clone().rereading(fold.reread_tokens);
    let packed = pack(&[layout(&again, &config)], fold.visual_sees_text);
    let hidden = model.forward(&packed);
    for (target, nll) in nll(model, &hidden, &packed.targets) {
        // Pieces are BOS and the chunks; what is read again is not predicted.
        let given = again.chunks[target.piece - 1].given;
        let Some(offset) = target.offset.checked_sub(given) else {
            continue;
        };
        stats.olm.add(nll, 1.0);
        if target.piece > 1 {
            stats.folded.add(nll, 1.0);
            stats.folded_by_offset.add(offset, nll);
            if offset < 16 {
                stats.first16.add(nll, 1.0);
            }
            if offset == 0 {
                stats.first.add(nll, 1.0);
            }
        }
    }
    if let Some(visual) = packed.compact_visual(hidden.visual) {
        let pages = &sample.chunks[..sample.chunks.len() - 1];
        let classes: Vec<u8> = pages.iter().flat_map(|page| page.cells.iter().copied()).collect();
        let loss = head.loss(visual, &classes).into_data().convert::<f64>();
        let loss = loss.as_slice::<f64>().map_or(f64::NAN, |loss| loss[0]);
        stats.cells.add(loss * classes.len() as f64, classes.len() as f64);
    }
    // Every chunk after the first, alone.
    let alone: Vec<DocumentTokens> = sample.chunks[1..].iter().map(|chunk| alone(chunk, &config)).collect();
    if !alone.is_empty() {
        let packed = pack(&alone, false);
        for (target, nll) in nll(model, &model.forward(&packed), &packed.targets) {
            stats.none.add(nll, 1.0);
            stats.none_by_offset.add(target.offset, nll);
            if target.offset < 16 {
                stats.none_first16.add(nll, 1.0);
            }
            if target.offset == 0 {
                stats.none_first.add(nll, 1.0);
            }
        }
    }
    if !memory.has_pages() {
        return stats;
    }
    // Read back.
    let sample = sample.shaped(SampleKind::Ocr);
    let packed = pack(&[layout(&sample, &config)], false);
    let hidden = model.forward(&packed);
    for (target, nll) in nll(model, &hidden, &packed.targets) {
        stats.ocr.add(nll, 1.0);
        if target.piece == 1 {
            stats.ocr_first.add(nll, 1.0);
        }
    }
    let first: Vec<Target> = packed.targets.iter().filter(|t| t.piece == 1).copied().collect();
    let best = model
        .logits(hidden.predictors(&first))
        .argmax(1)
        .into_data()
        .convert::<i64>();
    for (target, best) in first.iter().zip(best.as_slice::<i64>().unwrap_or_default()) {
        stats
            .ocr_exact
            .add(f64::from(u8::from(*best == i64::from(target.id))), 1.0);
    }
    if let Some(document) = with_wrong_page(&sample, &config) {
        let packed = pack(&[document], false);
        for (_, nll) in nll(model, &model.forward(&packed), &packed.targets) {
            stats.ocr_wrong.add(nll, 1.0);
        }
    }
    stats
}

/// The first chunk of an `ocr` sample behind the page of the second; `None` when there is no second.
fn with_wrong_page(sample: &Sample, config: &Config) -> Option<DocumentTokens> {
    let [text, page, ..] = sample.chunks.as_slice() else {
        return None;
    };
    let chunk = ChunkSample {
        ids: text.ids.clone(),
        ..page.clone()
    };
    let sample = Sample {
        kind: SampleKind::Ocr,
        document: sample.document,
        start: sample.start,
        chunks: vec![chunk],
    };
    let mut document = layout(&sample.shaped(SampleKind::Ocr), config);
    // The page is that of the second chunk for those, too, who read it from its tokens.
    document.page_ids[0].clone_from(&page.ids);
    Some(document)
}

/// Each target with its NLL.
fn nll<B: Fused>(model: &Vist2<B>, hidden: &Hidden<B>, targets: &[Target]) -> Vec<(Target, f64)> {
    let values = model.nll(hidden, targets).into_data().convert::<f64>();
    let values = values.as_slice::<f64>().unwrap_or_default();
    targets.iter().copied().zip(values.iter().copied()).collect()
}

/// A chunk without memory: BOS and the open chunk.
fn alone(chunk: &ChunkSample, config: &Config) -> DocumentTokens {
    DocumentTokens {
        pieces: vec![
            Piece::Raw { tokens: 1 },
            Piece::Open {
                tokens: chunk.ids.len(),
            },
        ],
        ids: vec![vec![config.bos_token_id], chunk.ids.clone()],
        patches: vec![Vec::new(), Vec::new()],
        ..DocumentTokens::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::Form;
    use folio_engine::config::preset;

    #[test]
    fn the_wrong_page_is_the_second_chunks_before_the_firsts_text() {
        let config = preset("folio-nano").unwrap();
        let patch = config.fold.as_ref().unwrap().vision.patch_len();
        let chunk = |id: u32, tokens: usize, slots: usize, grey: u8| ChunkSample {
            ids: vec![id; tokens],
            pages: vec![grey; slots * patch],
            slots,
            text: String::new(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form: Form::Page,
            learn: true,
            given: 0,
        };
        let mut sample = Sample {
            kind: SampleKind::Ocr,
            document: 0,
            start: 0,
            chunks: vec![chunk(7, 5, 2, 0), chunk(8, 3, 1, 255)],
        };
        let document = with_wrong_page(&sample, &config).unwrap();
        assert_eq!(document.pieces, [Piece::Page { visual: 1 }, Piece::Raw { tokens: 5 }]);
        assert_eq!(document.ids, [vec![], vec![7; 5]]);
        assert_eq!(document.patches, [vec![1.0; patch], vec![]]);
        assert_eq!(document.page_ids, [vec![8; 3], vec![]]);
        sample.chunks.truncate(1);
        assert!(with_wrong_page(&sample, &config).is_none());
    }
}
