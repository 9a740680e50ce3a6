//! Laid-out documents as tensors: what a training-style forward takes.
//!
//! Elements are split in two: the *memory* (raw and visual slots, which later pieces see) and the *open* text of each
//! chunk (which only its own chunk sees). So attention never computes text against the text of another chunk.

use super::fused::{AttentionPlan, Fused};
use crate::context::{ElementKind, Layout, Piece};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
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
    /// `[pages, 1, 1, slots]`, when pages differ in length.
    pub(super) page_bias: Option<Tensor<B, 4>>,
    /// Who sees whom, for a kernel.
    pub(super) plan: Arc<AttentionPlan>,
    /// Who sees whom, for plain tensor operations; `None` where the backend has a kernel that goes by the plan.
    pub(super) biases: Option<PackedBiases<B>>,
    device: B::Device,
}

/// Attention biases of a packed batch.
#[derive(Debug, Clone)]
pub(super) struct PackedBiases<B: Backend> {
    /// Memory to memory, `[D, kv_heads, groups × M, M]`.
    pub(super) memory: Tensor<B, 4>,
    /// Memory to open text, `[D, kv_heads, groups × M, n × K]` (`visual_sees_text`).
    pub(super) memory_to_open: Option<Tensor<B, 4>>,
    /// Open text to memory and own chunk, `[D, kv_heads, n × groups × K, M + K]`.
    pub(super) open: Option<Tensor<B, 4>>,
}

/// Appends one query's row: takes document, block and query.
type Row<'a> = &'a dyn Fn(&Doc, usize, usize, &mut Vec<f32>);

struct Doc {
    layout: Layout,
    memory: Vec<usize>,
    open: Vec<Vec<usize>>,
}

impl Doc {
    fn new(pieces: &[Piece], visual_sees_text: bool) -> Self {
        let layout = Layout::new(pieces, visual_sees_text);
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
        let docs: Vec<Doc> = documents
            .iter()
            .map(|d| Doc::new(&d.pieces, visual_sees_text))
            .collect();
        let memory = docs.iter().map(|d| d.memory.len()).max().unwrap_or(0);
        let chunks = docs.iter().map(|d| d.open.len()).max().unwrap_or(0);
        let chunk_len = docs.iter().flat_map(|d| d.open.iter().map(Vec::len)).max().unwrap_or(0);
        let size = memory + chunks * chunk_len;
        let (pages, slots, patches, page_bias) = pack_pages::<B>(documents, patch_len, device);

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
            heads,
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
            page_bias,
            biases: (visual_sees_text || !B::PACKED_ATTENTION).then(|| PackedBiases {
                memory: bias.memory(device),
                memory_to_open: (visual_sees_text && chunks > 0).then(|| bias.memory_to_open(device)),
                open: (chunks > 0).then(|| bias.open(device)),
            }),
            plan: Arc::new(plan(&docs, memory, chunks, chunk_len)),
            device: device.clone(),
        }
    }

    /// The rows of padded visual tokens `[pages × slots, d]` that stand for ink, page after page.
    pub fn compact_visual(&self, visual: Option<Tensor<B, 2>>) -> Option<Tensor<B, 2>> {
        let visual = visual?;
        if self.page_bias.is_none() {
            return Some(visual);
        }
        let rows: Vec<i32> = self.visual_rows.iter().map(|&r| r as i32).collect();
        let n = rows.len();
        let index = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [n]), &visual.device());
        Some(visual.select(0, index))
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

/// The prefix lengths that the layouts' visibility comes down to without `visual_sees_text`: every chunk of open text
/// sees the memory slots of the pieces before its own (`Layout::sees` is asked, so the rule stays in one place).
fn plan(docs: &[Doc], memory: usize, chunks: usize, chunk_len: usize) -> AttentionPlan {
    let mut seen = Vec::with_capacity(docs.len() * chunks);
    for doc in docs {
        for c in 0..chunks {
            let first = doc.open.get(c).and_then(|chunk| chunk.first());
            seen.push(first.map_or(0, |&q| doc.memory.partition_point(|&k| doc.layout.sees(q, k))));
        }
    }
    AttentionPlan {
        documents: docs.len(),
        memory,
        chunks,
        chunk_len,
        seen,
    }
}

type Pages<B> = (Vec<Vec<usize>>, usize, Option<Tensor<B, 3>>, Option<Tensor<B, 4>>);

/// All pages of the batch in one tensor, padded to the longest: page index of each piece, slots, patches, key bias.
fn pack_pages<B: Backend>(documents: &[DocumentTokens], patch_len: usize, device: &B::Device) -> Pages<B> {
    let all: Vec<&Vec<f32>> = documents
        .iter()
        .flat_map(|d| d.patches.iter())
        .filter(|p| !p.is_empty())
        .collect();
    let slots = all.iter().map(|p| p.len() / patch_len).max().unwrap_or(0);
    let mut next = 0;
    let mut index_of = |p: &Vec<f32>| {
        next += usize::from(!p.is_empty());
        next.saturating_sub(1)
    };
    let index = documents
        .iter()
        .map(|d| d.patches.iter().map(&mut index_of).collect())
        .collect();
    if all.is_empty() {
        return (index, 0, None, None);
    }
    let mut data = Vec::with_capacity(all.len() * slots * patch_len);
    let mut bias = Vec::with_capacity(all.len() * slots);
    for page in &all {
        data.extend_from_slice(page);
        data.resize(data.len() + slots * patch_len - page.len(), 0.0);
        let own = page.len() / patch_len;
        bias.extend((0..slots).map(|s| if s < own { 0.0 } else { HIDDEN }));
    }
    let padded = bias.contains(&HIDDEN);
    let patches = Tensor::from_data(TensorData::new(data, [all.len(), slots, patch_len]), device);
    let bias = padded.then(|| Tensor::from_data(TensorData::new(bias, [all.len(), 1, 1, slots]), device));
    (index, slots, Some(patches), bias)
}

/// Attention biases from the layouts' visibility, repeated over heads: on the CPU a plain addition is several times
/// cheaper than a broadcast one.
struct Biases<'a> {
    docs: &'a [Doc],
    memory: usize,
    chunks: usize,
    chunk_len: usize,
    heads: (usize, usize),
}

impl Biases<'_> {
    fn groups(&self) -> usize {
        self.heads.0 / self.heads.1
    }

    fn sees(doc: &Doc, query: Option<&usize>, key: Option<&usize>) -> f32 {
        match (query, key) {
            (Some(&q), Some(&k)) if doc.layout.sees(q, k) => 0.0,
            _ => HIDDEN,
        }
    }

    fn open_element<'d>(&self, doc: &'d Doc, chunk: usize, j: usize) -> Option<&'d usize> {
        doc.open.get(chunk).and_then(|c| c.get(j))
    }

    fn memory<B: Backend>(&self, device: &B::Device) -> Tensor<B, 4> {
        let m = self.memory;
        let row = |doc: &Doc, q: usize, out: &mut Vec<f32>| {
            out.extend((0..m).map(|k| Self::sees(doc, doc.memory.get(q), doc.memory.get(k))));
        };
        self.tensor(1, m, m, &|doc, _, q, out| row(doc, q, out), device)
    }

    fn memory_to_open<B: Backend>(&self, device: &B::Device) -> Tensor<B, 4> {
        let columns = self.chunks * self.chunk_len;
        let row = |doc: &Doc, q: usize, out: &mut Vec<f32>| {
            for c in 0..self.chunks {
                out.extend(
                    (0..self.chunk_len).map(|j| Self::sees(doc, doc.memory.get(q), self.open_element(doc, c, j))),
                );
            }
        };
        self.tensor(1, self.memory, columns, &|doc, _, q, out| row(doc, q, out), device)
    }

    fn open<B: Backend>(&self, device: &B::Device) -> Tensor<B, 4> {
        let row = |doc: &Doc, c: usize, q: usize, out: &mut Vec<f32>| {
            let query = self.open_element(doc, c, q);
            out.extend((0..self.memory).map(|k| Self::sees(doc, query, doc.memory.get(k))));
            out.extend((0..self.chunk_len).map(|j| Self::sees(doc, query, self.open_element(doc, c, j))));
        };
        self.tensor(self.chunks, self.chunk_len, self.memory + self.chunk_len, &row, device)
    }

    /// `[D, kv_heads, blocks × groups × queries, columns]` from rows `(doc, block, query)`.
    fn tensor<B: Backend>(
        &self,
        blocks: usize,
        queries: usize,
        columns: usize,
        row: Row<'_>,
        device: &B::Device,
    ) -> Tensor<B, 4> {
        let (kv_heads, groups) = (self.heads.1, self.groups());
        let mut data = Vec::with_capacity(self.docs.len() * kv_heads * blocks * groups * queries * columns);
        for doc in self.docs {
            let start = data.len();
            for block in 0..blocks {
                let block_start = data.len();
                for query in 0..queries {
                    row(doc, block, query, &mut data);
                }
                let block_end = data.len();
                for _ in 1..groups {
                    data.extend_from_within(block_start..block_end);
                }
            }
            let end = data.len();
            for _ in 1..kv_heads {
                data.extend_from_within(start..end);
            }
        }
        let shape = [self.docs.len(), kv_heads, blocks * groups * queries, columns];
        Tensor::from_data(TensorData::new(data, shape), device)
    }
}
