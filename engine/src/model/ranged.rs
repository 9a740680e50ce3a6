//! Attention over a packed batch by ranges, in plain tensor operations: for backends without a kernel of their own (CUDA,
//! wgpu). Blocks of queries meet the keys up to the last that any of them sees, so what the mask hides is computed only
//! within a block, and no mask is ever as large as the scores: a chunk costs O(K² + K·P).

use super::cat::cat;
use super::decoder::Qkv;
use super::fused::AttentionPlan;
use burn::tensor::{FloatDType, Int, Tensor, TensorData, activation, backend::Backend};

/// Added to scores of keys that are not seen.
const HIDDEN: f32 = -1e9;
/// Queries of a block, about: enough work for a launch.
const BLOCK: usize = 512;

/// Attention of every row, `[D × S, heads × head_dim]`. `q` `[D × S, heads, head_dim]` is scaled, `k` and `v`
/// `[D × S, kv_heads, head_dim]`. Products are computed in `products`, softmax and sums in the given type.
pub(super) fn ranged_attention<B: Backend>(qkv: Qkv<B>, plan: &AttentionPlan, products: FloatDType) -> Tensor<B, 2> {
    in_blocks(qkv, plan, products, BLOCK)
}

fn in_blocks<B: Backend>(qkv: Qkv<B>, plan: &AttentionPlan, products: FloatDType, block: usize) -> Tensor<B, 2> {
    let [rows, heads, head_dim] = qkv.q.dims();
    let kv_heads = qkv.k.dims()[1];
    let (d, size, groups) = (plan.documents, rows / plan.documents, heads / kv_heads);
    let (m, open) = (plan.memory, plan.chunks * plan.chunk_len);
    let given: FloatDType = qkv.q.dtype().into();
    let [k, v] = [qkv.k, qkv.v].map(|t| t.cast(products).reshape([d, size, kv_heads, head_dim]).swap_dims(1, 2));
    let heads = Heads {
        // [d, kv_heads, groups, S, head_dim]
        q: qkv
            .q
            .cast(products)
            .reshape([d, size, kv_heads, groups, head_dim])
            .permute([0, 2, 3, 1, 4]),
        k_memory: (m > 0).then(|| k.clone().narrow(2, 0, m)),
        v_memory: (m > 0).then(|| v.clone().narrow(2, 0, m)),
        k_open: (open > 0).then(|| k.narrow(2, m, open)),
        v_open: (open > 0).then(|| v.narrow(2, m, open)),
        given,
        products,
    };
    let mut out = Vec::new();
    for start in (0..m).step_by(block) {
        out.push(heads.memory(plan, start, block.min(m - start)));
    }
    let chunks = (block / plan.chunk_len.max(1)).max(1);
    for first in (0..plan.chunks).step_by(chunks) {
        out.push(heads.open(plan, first, chunks.min(plan.chunks - first)));
    }
    // [d, kv_heads, groups, S, head_dim]
    let out = cat(out, 3);
    out.permute([0, 3, 1, 2, 4])
        .reshape([rows, kv_heads * groups * head_dim])
}

/// Rows of keys or values.
fn slots<B: Backend>(t: &Option<Tensor<B, 4>>, start: usize, n: usize) -> Tensor<B, 4> {
    let t = t.as_ref().expect("whoever asks for rows has some");
    t.clone().narrow(2, start, n)
}

struct Heads<B: Backend> {
    q: Tensor<B, 5>,
    /// `[d, kv_heads, M, head_dim]`.
    k_memory: Option<Tensor<B, 4>>,
    v_memory: Option<Tensor<B, 4>>,
    /// `[d, kv_heads, n × K, head_dim]`.
    k_open: Option<Tensor<B, 4>>,
    v_open: Option<Tensor<B, 4>>,
    given: FloatDType,
    products: FloatDType,
}

impl<B: Backend> Heads<B> {
    /// `[d, kv_heads, groups, n, head_dim]` of the `n` memory slots from `start` on.
    fn memory(&self, plan: &AttentionPlan, start: usize, n: usize) -> Tensor<B, 5> {
        let [d, kv_heads, groups, _, head_dim] = self.q.dims();
        // What is below every query's lower bound is left out, too.
        let low = (0..d)
            .flat_map(|d| (start..start + n).map(move |q| plan.lower(d, q)))
            .min()
            .unwrap_or(0);
        let (end, seen) = (start + n, start + n - low);
        let q = self
            .q
            .clone()
            .narrow(3, start, n)
            .reshape([d, kv_heads, groups * n, head_dim]);
        let keys = |t: &Option<Tensor<B, 4>>| slots(t, low, seen);
        let scores = q.matmul(keys(&self.k_memory).transpose()).cast(self.given);
        let scores = scores.reshape([d, kv_heads * groups, n, seen]) + self.hidden_memory(plan, start, low..end);
        let weights = activation::softmax(scores, 3).cast(self.products);
        let weights = weights.reshape([d, kv_heads, groups * n, seen]);
        let out = weights.matmul(keys(&self.v_memory)).cast(self.given);
        out.reshape([d, kv_heads, groups, n, head_dim])
    }

    /// `[D or 1, 1, n, keys]`: which of the memory slots `keys` the `n` from `start` on, up to the last of them, do not see.
    fn hidden_memory(&self, plan: &AttentionPlan, start: usize, keys: std::ops::Range<usize>) -> Tensor<B, 4> {
        let device = self.q.device();
        let (n, columns) = (keys.end - start, keys.len());
        let numbers = |from: usize, to: usize| Tensor::<B, 1, Int>::arange(from as i64..to as i64, &device);
        let key = numbers(keys.start, keys.end)
            .reshape([1, 1, columns])
            .expand([1, n, columns]);
        let query = numbers(start, start + n).reshape([1, n, 1]).expand([1, n, columns]);
        let hidden = key.clone().greater(query).float();
        let hidden = if plan.lower.is_empty() {
            hidden
        } else {
            let d = plan.documents;
            let lower = (0..d).flat_map(|d| (start..start + n).map(move |q| plan.lower(d, q) as i32));
            let lower: Vec<i32> = lower.collect();
            let lower = Tensor::<B, 3, Int>::from_data(TensorData::new(lower, [d, n, 1]), &device);
            let gone = key.expand([d, n, columns]).lower(lower.expand([d, n, columns])).float();
            hidden.expand([d, n, columns]) + gone
        };
        let [d, n, columns] = hidden.dims();
        hidden.mul_scalar(HIDDEN).cast(self.given).reshape([d, 1, n, columns])
    }

    /// `[d, kv_heads, groups, n × K, head_dim]` of the text of `n` chunks from `first` on.
    fn open(&self, plan: &AttentionPlan, first: usize, n: usize) -> Tensor<B, 5> {
        let [d, kv_heads, groups, _, head_dim] = self.q.dims();
        let (k_len, text) = (plan.chunk_len, n * plan.chunk_len);
        let ranges = || (0..d).flat_map(|d| (first..first + n).map(move |c| plan.seen(d, c)));
        let end = ranges().map(|seen| seen.end).max().unwrap_or(0);
        let low = ranges()
            .filter(|seen| !seen.is_empty())
            .map(|seen| seen.start)
            .min()
            .unwrap_or(0)
            .min(end);
        let seen = end - low;
        // [d, kv_heads, n, groups, K, head_dim]
        let q = self
            .q
            .clone()
            .narrow(3, plan.memory + first * k_len, text)
            .reshape([d, kv_heads, groups, n, k_len, head_dim])
            .swap_dims(2, 3);
        let per_head = q.clone().reshape([d, kv_heads, n * groups * k_len, head_dim]);
        let per_chunk = q.reshape([d * kv_heads * n, groups * k_len, head_dim]);
        let own = |t: &Option<Tensor<B, 4>>| slots(t, first * k_len, text).reshape([d * kv_heads * n, k_len, head_dim]);
        let to_own = per_chunk.matmul(own(&self.k_open).transpose()).cast(self.given);
        let to_own = to_own.reshape([d * kv_heads, n, groups, k_len, k_len]) + self.hidden_later(k_len);
        let weigh = |scores: Tensor<B, 5>| activation::softmax(scores, 4).cast(self.products);
        let weigh_own = |weights: Tensor<B, 5>| {
            let weights = weights.reshape([d * kv_heads * n, groups * k_len, k_len]);
            weights.matmul(own(&self.v_open)).cast(self.given)
        };
        let out = if seen == 0 {
            weigh_own(weigh(to_own)).reshape([d, kv_heads, n * groups * k_len, head_dim])
        } else {
            let keys = |t: &Option<Tensor<B, 4>>| slots(t, low, seen);
            let to_memory = per_head.matmul(keys(&self.k_memory).transpose()).cast(self.given);
            let to_memory = to_memory.reshape([d, kv_heads, n, groups * k_len, seen])
                + self.hidden_chunks(ranges(), low, [d, n, seen]);
            let to_memory = to_memory.reshape([d * kv_heads, n, groups, k_len, seen]);
            let weights = weigh(cat(vec![to_memory, to_own], 4));
            let from_memory = weights
                .clone()
                .narrow(4, 0, seen)
                .reshape([d, kv_heads, n * groups * k_len, seen]);
            let from_memory = from_memory.matmul(keys(&self.v_memory)).cast(self.given);
            let from_own = weigh_own(weights.narrow(4, seen, k_len));
            from_memory + from_own.reshape([d, kv_heads, n * groups * k_len, head_dim])
        };
        out.reshape([d, kv_heads, n, groups, k_len, head_dim])
            .swap_dims(2, 3)
            .reshape([d, kv_heads, groups, text, head_dim])
    }

    /// `[1, 1, 1, K, K]`: a token does not see those behind it.
    fn hidden_later(&self, k_len: usize) -> Tensor<B, 5> {
        let hidden = (0..k_len).flat_map(|q| (0..k_len).map(move |k| if k > q { HIDDEN } else { 0.0 }));
        let hidden: Vec<f32> = hidden.collect();
        let data = TensorData::new(hidden, [1, 1, 1, k_len, k_len]);
        Tensor::<B, 5>::from_data(data, &self.q.device()).cast(self.given)
    }

    /// `[D, 1, n, 1, keys]`: which memory slots from `low` on each chunk does not see.
    fn hidden_chunks(
        &self,
        ranges: impl Iterator<Item = std::ops::Range<usize>>,
        low: usize,
        [d, n, keys]: [usize; 3],
    ) -> Tensor<B, 5> {
        let hidden =
            ranges.flat_map(|seen| (low..low + keys).map(move |k| if seen.contains(&k) { 0.0 } else { HIDDEN }));
        let hidden: Vec<f32> = hidden.collect();
        let data = TensorData::new(hidden, [d, 1, n, 1, keys]);
        Tensor::<B, 5>::from_data(data, &self.q.device()).cast(self.given)
    }
}

#[cfg(all(test, feature = "train", feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fused::{Fused, unwrap, wrap};
    use super::super::packed::{DocumentTokens, Packed};
    use super::*;
    use crate::context::{Element, Layout, Piece};
    use burn::backend::Autodiff;
    use burn::tensor::Distribution;
    use burn_flex::Flex;

    type B = Autodiff<Flex>;

    fn document(pieces: Vec<Piece>) -> DocumentTokens {
        let patch = 4;
        let (mut ids, mut patches) = (Vec::new(), Vec::new());
        for piece in &pieces {
            let (tokens, visual) = match *piece {
                Piece::Raw { tokens } | Piece::Open { tokens } | Piece::Dropped { tokens } => (tokens, 0),
                Piece::Windowed { tokens, .. } => (tokens, 0),
                Piece::Folded { tokens, visual } => (tokens, visual),
                Piece::Page { visual } => (0, visual),
            };
            ids.push(vec![1; tokens]);
            patches.push(vec![0.0; visual * patch]);
        }
        DocumentTokens {
            page_ids: vec![Vec::new(); pieces.len()],
            pieces,
            ids,
            patches,
            ..DocumentTokens::default()
        }
    }

    /// Batches whose documents differ in everything: folds, prompts, the controls.
    fn batches() -> Vec<Vec<DocumentTokens>> {
        let bos = Piece::Raw { tokens: 1 };
        let folded = |tokens, visual| Piece::Folded { tokens, visual };
        let windowed = |tokens, visual| Piece::Windowed { tokens, visual };
        vec![
            vec![
                document(vec![
                    bos,
                    folded(7, 2),
                    folded(4, 3),
                    folded(7, 1),
                    Piece::Open { tokens: 5 },
                ]),
                document(vec![
                    bos,
                    Piece::Page { visual: 3 },
                    folded(6, 2),
                    Piece::Open { tokens: 2 },
                ]),
            ],
            vec![document(vec![
                bos,
                windowed(6, 2),
                windowed(6, 2),
                windowed(6, 2),
                Piece::Open { tokens: 6 },
            ])],
            vec![
                document(vec![bos, Piece::Dropped { tokens: 5 }, Piece::Open { tokens: 5 }]),
                document(vec![bos, Piece::Open { tokens: 3 }]),
            ],
            vec![document(vec![Piece::Page { visual: 3 }, Piece::Raw { tokens: 9 }])],
            vec![document(vec![Piece::Open { tokens: 4 }])],
        ]
    }

    #[test]
    fn ranges_give_what_the_kernel_gives_forwards_and_backwards() {
        let device = Default::default();
        let (heads, kv_heads, head_dim) = (4, 2, 8);
        for (i, documents) in batches().iter().enumerate() {
            let packed = Packed::<B>::new(documents, false, (heads, kv_heads), 4, &device);
            let rows = documents.len() * packed.rows();
            let random =
                |heads| Tensor::<B, 3>::random([rows, heads, head_dim], Distribution::Normal(0.0, 1.0), &device);
            let inputs = [random(heads), random(kv_heads), random(kv_heads)].map(Tensor::require_grad);
            let weights = Tensor::<B, 2>::random([rows, heads * head_dim], Distribution::Normal(0.0, 1.0), &device);
            // Rows of padding see what they like: only the others count.
            let real = Tensor::<B, 1>::from_data(TensorData::new(counted(&packed, documents), [rows]), &device);
            let weights = weights * real.reshape([rows, 1]);
            let judged = |out: Tensor<B, 2>| {
                let out = out * weights.clone();
                let grads = out.clone().sum().backward();
                let grads = inputs.clone().map(|t| t.grad(&grads).unwrap().into_data());
                (out.into_data(), grads)
            };
            let [q, k, v] = inputs.clone().map(unwrap);
            let kernel = wrap::<B, 3>(B::packed_attention(&q, &k, &v, &packed.plan, FloatDType::F32).unwrap());
            let (expected, expected_grads) = judged(kernel.reshape([rows, heads * head_dim]));
            for block in [3, 7, 512] {
                let [q, k, v] = inputs.clone();
                let (found, grads) = judged(in_blocks(Qkv { q, k, v }, &packed.plan, FloatDType::F32, block));
                let near = |a: &TensorData, b: &TensorData| {
                    let (a, b) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap());
                    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
                };
                assert!(near(&found, &expected), "batch {i}, blocks of {block}");
                for (which, (found, expected)) in ["q", "k", "v"].iter().zip(grads.iter().zip(&expected_grads)) {
                    assert!(
                        near(found, expected),
                        "batch {i}, blocks of {block}: gradient of {which}"
                    );
                }
            }
        }
    }

    /// 1 for every row that stands for an element, else 0.
    fn counted(packed: &Packed<B>, documents: &[DocumentTokens]) -> Vec<f32> {
        let mut real = vec![0.0; documents.len() * packed.rows()];
        for (d, document) in documents.iter().enumerate() {
            let layout = Layout::new(&document.pieces, false);
            let (stay, open): (Vec<&Element>, Vec<&Element>) = layout.elements().iter().partition(|e| e.stays());
            let at = d * packed.rows();
            real[at..at + stay.len()].fill(1.0);
            let mut chunks: Vec<usize> = open.iter().map(|e| e.piece).collect();
            chunks.dedup();
            for (c, piece) in chunks.into_iter().enumerate() {
                let n = open.iter().filter(|e| e.piece == piece).count();
                let start = at + packed.memory + c * packed.chunk_len;
                real[start..start + n].fill(1.0);
            }
        }
        real
    }
}
