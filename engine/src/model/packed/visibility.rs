//! Who sees whom in a packed batch: as ranges for a kernel, as biases for plain tensor operations. Both ask `Layout`
//! (`memory_seen`, `sees`), so the rule stays in one place.

use super::super::fused::AttentionPlan;
use super::{Doc, HIDDEN, PackedBiases};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// The ranges that the layouts' visibility comes down to: every memory slot sees those before it (with `visual_sees_text`
/// also the text of its own chunk), every chunk of open text those of the pieces before its own; in the sliding-window
/// control not the oldest of them.
pub(super) fn plan(docs: &[Doc], memory: usize, chunks: usize, chunk_len: usize) -> AttentionPlan {
    let (mut seen, mut open_lower) = (Vec::new(), Vec::new());
    let (mut lower, mut texts) = (Vec::new(), Vec::new());
    for doc in docs {
        for c in 0..chunks {
            let first = doc.open.get(c).and_then(|chunk| chunk.first());
            let range = first.map_or(0..0, |&q| doc.layout.memory_seen(q));
            seen.push(range.end);
            open_lower.push(range.start);
        }
        let own = doc.memory.iter().map(|&q| doc.layout.memory_seen(q).start);
        let mut own: Vec<usize> = own.collect();
        // Padding: whatever makes no block of its own.
        own.resize(memory, own.last().copied().unwrap_or(0));
        lower.extend(own);
        let mut own: Vec<_> = doc.memory.iter().map(|&q| text_seen(doc, q, chunk_len)).collect();
        own.resize(memory, 0..0);
        texts.extend(own);
    }
    let some = |bounds: Vec<usize>| {
        if bounds.iter().any(|&b| b > 0) {
            bounds
        } else {
            Vec::new()
        }
    };
    AttentionPlan {
        documents: docs.len(),
        memory,
        chunks,
        chunk_len,
        seen,
        lower: some(lower),
        open_lower: some(open_lower),
        texts: if texts.iter().any(|text| !text.is_empty()) {
            texts
        } else {
            Vec::new()
        },
    }
}

/// The rows of open text that element `query`, a memory slot, sees: the first ones of one chunk, or none.
fn text_seen(doc: &Doc, query: usize, chunk_len: usize) -> std::ops::Range<usize> {
    let sees = |&key: &usize| doc.layout.sees(query, key);
    let Some(c) = doc.open.iter().rposition(|chunk| chunk.first().is_some_and(sees)) else {
        return 0..0;
    };
    c * chunk_len..c * chunk_len + doc.open[c].partition_point(sees)
}

/// Appends the row of one query: takes document, block and query.
type Row<'a> = &'a dyn Fn(&Doc, usize, usize, &mut Vec<f32>);

/// Attention biases from the layouts' visibility, for backends without a kernel.
pub(super) struct Biases<'a> {
    pub(super) docs: &'a [Doc],
    pub(super) memory: usize,
    pub(super) chunks: usize,
    pub(super) chunk_len: usize,
    /// Query heads that share a key head.
    pub(super) groups: usize,
}

impl Biases<'_> {
    pub(super) fn all<B: Backend>(&self, device: &B::Device) -> PackedBiases<B> {
        PackedBiases {
            memory: self.memory(device),
            memory_to_open: (self.chunks > 0).then(|| self.memory_to_open(device)),
            open: (self.chunks > 0).then(|| self.open(device)),
        }
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

    /// `[D, 1, blocks × groups × queries, columns]` from rows `(doc, block, query)`: one head's do for all.
    fn tensor<B: Backend>(
        &self,
        blocks: usize,
        queries: usize,
        columns: usize,
        row: Row<'_>,
        device: &B::Device,
    ) -> Tensor<B, 4> {
        let groups = self.groups;
        let mut data = Vec::with_capacity(self.docs.len() * blocks * groups * queries * columns);
        for doc in self.docs {
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
        }
        let shape = [self.docs.len(), 1, blocks * groups * queries, columns];
        Tensor::from_data(TensorData::new(data, shape), device)
    }
}
