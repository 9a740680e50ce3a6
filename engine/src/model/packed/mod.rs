//! Laid-out documents as tensors: what a training-style forward takes.
//!
//! Elements are split in two: the *memory* (raw and visual slots, which later pieces see) and the *open* text of each
//! chunk (which only its own chunk sees). So attention never computes text against the text of another chunk.

mod pages;
mod visibility;

use self::pages::pack_pages;
use self::visibility::{Biases, plan};
use super::fused::{AttentionPlan, Fused, PageLengths};
use crate::context::{ElementKind, Layout, Piece};
use burn::tensor::{FloatDType, Int, Tensor, TensorData, backend::Backend};
use std::sync::Arc;

/// Added to the scores of pairs that do not see each other.
const HIDDEN: f32 = -1e9;

/// One document: its pieces, and for each piece its text tokens and its page's patches (either may be empty).
#[derive(Debug, Clone, Default)]
pub struct DocumentTokens {
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
    /// Text token ids of each piece.
    pub ids: Vec<Vec<u32>>,
    /// Patches of each piece's page, `slots × patch_len`, as `Patches` gives them.
    pub patches: Vec<Vec<f32>>,
    /// Token ids of the text that each piece's page shows, for models that read pages from their tokens
    /// ([`PageEncoder`](crate::config::PageEncoder)); may be left empty for all others.
    pub page_ids: Vec<Vec<u32>>,
    /// With `visual_sees_text`, how many tokens of its text each visual token of each piece's page sees; all where nothing is
    /// said ([`Layout::with_text_seen`]).
    pub text_seen: Vec<Vec<usize>>,
}

/// A token to be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Document in the batch.
    pub document: usize,
    /// Row of the hidden states whose output predicts it.
    pub row: usize,
    /// The token.
    pub id: u32,
    /// Piece that it belongs to.
    pub piece: usize,
    /// Its offset inside its piece.
    pub offset: usize,
}

/// A batch of laid-out documents. Row `d·S + s` is element `s` of document `d`, `S = memory + chunks × chunk_len`:
/// first the memory in order, then the open text chunk by chunk; shorter ones are padded.
#[derive(Debug, Clone)]
pub struct Packed<B: Backend> {
    /// Documents.
    pub documents: usize,
    /// Memory slots of the longest document (M).
    pub memory: usize,
    /// Chunks of open text of the document with most (n).
    pub chunks: usize,
    /// Tokens of the longest chunk (K).
    pub chunk_len: usize,
    /// Position of every row.
    pub positions: Vec<usize>,
    /// Every token that is predicted by some row.
    pub targets: Vec<Target>,
    /// Rows of the padded visual tokens that stand for ink, page after page.
    visual_rows: Vec<usize>,
    /// Token ids to embed, `[t]`.
    pub(super) text_ids: Tensor<B, 1, Int>,
    /// For every row, its index among `[text rows; visual rows; …]`.
    pub(super) gather: Tensor<B, 1, Int>,
    /// `[pages, slots, patch_len]`, or `None` without pages.
    pub(super) patches: Option<Tensor<B, 3>>,
    /// Slots of the pages.
    pub(super) page_lengths: Arc<PageLengths>,
    /// Token ids of every page, where they are given.
    pub(super) page_ids: Vec<Vec<u32>>,
    /// Who sees whom.
    pub(super) plan: Arc<AttentionPlan>,
    /// Who sees whom where plain operations need it: with `visual_sees_text`, on backends without a kernel.
    pub(super) biases: Option<PackedBiases<B>>,
    /// What attention over the batch multiplies in, where the backend has no kernel for it.
    pub(super) products: FloatDType,
    device: B::Device,
}

/// Attention biases of a packed batch.
#[derive(Debug, Clone)]
pub(super) struct PackedBiases<B: Backend> {
    /// Memory to memory, `[D, 1, groups × M, M]`.
    pub(super) memory: Tensor<B, 4>,
    /// Memory to open text, `[D, 1, groups × M, n × K]`.
    pub(super) memory_to_open: Option<Tensor<B, 4>>,
    /// Open text to memory and own chunk, `[D, 1, n × groups × K, M + K]`.
    pub(super) open: Option<Tensor<B, 4>>,
}

struct Doc {
    layout: Layout,
    memory: Vec<usize>,
    open: Vec<Vec<usize>>,
}

impl Doc {
    fn new(document: &DocumentTokens, visual_sees_text: bool) -> Self {
        let layout = Layout::new(&document.pieces, visual_sees_text).with_text_seen(document.text_seen.clone());
        let (mut memory, mut open): (Vec<usize>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let mut chunk_of_piece = None;
        for (i, e) in layout.elements().iter().enumerate() {
            if e.stays() {
                memory.push(i);
            } else {
                if chunk_of_piece != Some(e.piece) {
                    chunk_of_piece = Some(e.piece);
                    open.push(Vec::new());
                }
                open.last_mut().expect("just pushed").push(i);
            }
        }
        Self { layout, memory, open }
    }
}

impl<B: Fused> Packed<B> {
    /// Packs `documents`. `heads`: query and key/value heads of the decoder; `patch_len`: floats in a patch.
    pub fn new(
        documents: &[DocumentTokens],
        visual_sees_text: bool,
        heads: (usize, usize),
        patch_len: usize,
        device: &B::Device,
    ) -> Self {
        let docs: Vec<Doc> = documents.iter().map(|d| Doc::new(d, visual_sees_text)).collect();
        let memory = docs.iter().map(|d| d.memory.len()).max().unwrap_or(0);
        let chunks = docs.iter().map(|d| d.open.len()).max().unwrap_or(0);
        let chunk_len = docs.iter().flat_map(|d| d.open.iter().map(Vec::len)).max().unwrap_or(0);
        let size = memory + chunks * chunk_len;
        let (pages, lengths, patches) = pack_pages::<B>(documents, patch_len, device);
        let slots = lengths.slots;

        let mut page_ids = Vec::new();
        for document in documents {
            for (i, _) in document.patches.iter().enumerate().filter(|(_, page)| !page.is_empty()) {
                page_ids.push(document.page_ids.get(i).cloned().unwrap_or_default());
            }
        }

        let mut positions = vec![0; documents.len() * size];
        let mut gather = vec![0i32; documents.len() * size];
        let (mut text_ids, mut targets) = (vec![0i32], Vec::new());
        let mut visual_rows = Vec::new();
        for (d, (doc, tokens)) in docs.iter().zip(documents).enumerate() {
            let elements = doc.layout.elements();
            let mut rows = vec![0; elements.len()];
            for (m, &i) in doc.memory.iter().enumerate() {
                rows[i] = d * size + m;
            }
            for (c, chunk) in doc.open.iter().enumerate() {
                for (j, &i) in chunk.iter().enumerate() {
                    rows[i] = d * size + memory + c * chunk_len + j;
                }
            }
            for (i, e) in elements.iter().enumerate() {
                positions[rows[i]] = e.position;
                if e.kind == ElementKind::Visual {
                    visual_rows.push((rows[i], pages[d][e.piece] * slots + e.offset));
                    continue;
                }
                let id = tokens.ids[e.piece][e.offset];
                gather[rows[i]] = text_ids.len() as i32;
                text_ids.push(id as i32);
                if let Some(p) = doc.layout.predictor(i) {
                    targets.push(Target {
                        document: d,
                        row: rows[p],
                        id,
                        piece: e.piece,
                        offset: e.offset,
                    });
                }
            }
        }
        let visual_sources = visual_rows.iter().map(|&(_, source)| source).collect();
        // The table that rows are gathered from is [text rows; visual rows].
        for (row, visual) in visual_rows {
            gather[row] = (text_ids.len() + visual) as i32;
        }
        let int = |v: Vec<i32>| {
            let n = v.len();
            Tensor::<B, 1, Int>::from_data(TensorData::new(v, [n]), device)
        };
        let bias = Biases {
            docs: &docs,
            memory,
            chunks,
            chunk_len,
            groups: heads.0 / heads.1,
        };
        Self {
            documents: documents.len(),
            memory,
            chunks,
            chunk_len,
            positions,
            targets,
            visual_rows: visual_sources,
            text_ids: int(text_ids),
            gather: int(gather),
            patches,
            page_lengths: Arc::new(lengths),
            page_ids,
            biases: (visual_sees_text && !B::PACKED_ATTENTION).then(|| bias.all(device)),
            plan: Arc::new(plan(&docs, memory, chunks, chunk_len)),
            products: FloatDType::F32,
            device: device.clone(),
        }
    }

    /// The batch with the type that attention's products take; softmax stays in f32.
    pub fn multiplied_in(self, products: FloatDType) -> Self {
        Self { products, ..self }
    }

    /// The rows of padded visual tokens `[pages × slots, d]` that stand for ink, page after page.
    pub fn compact_visual(&self, visual: Option<Tensor<B, 2>>) -> Option<Tensor<B, 2>> {
        let visual = visual?;
        if !self.page_lengths.padded() {
            return Some(visual);
        }
        let rows: Vec<i32> = self.visual_rows.iter().map(|&r| r as i32).collect();
        let n = rows.len();
        let index = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [n]), &visual.device());
        Some(visual.select(0, index))
    }

    /// The batch of `documents` as backends without a kernel have it with `visual_sees_text`.
    #[cfg(test)]
    pub(super) fn with_biases(mut self, documents: &[DocumentTokens], groups: usize) -> Self {
        let docs: Vec<Doc> = documents.iter().map(|d| Doc::new(d, true)).collect();
        let biases = Biases {
            docs: &docs,
            memory: self.memory,
            chunks: self.chunks,
            chunk_len: self.chunk_len,
            groups,
        };
        self.biases = Some(biases.all(&self.device));
        self
    }

    /// Where the batch lives.
    pub(super) fn device(&self) -> &B::Device {
        &self.device
    }

    /// Rows per document (S).
    pub fn rows(&self) -> usize {
        self.memory + self.chunks * self.chunk_len
    }
}
