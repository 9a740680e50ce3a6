//! Attention over KV rows in plain tensor operations: for backends without a kernel, and to test kernels against.

use super::{Fused, unwrap, wrap};
use crate::context::Span;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, activation};

/// Added to the scores of pairs that do not see each other.
const HIDDEN: f32 = -1e9;

/// See [`Fused::attend_spans`].
pub(super) fn attend_spans<B: Fused>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    spans: &[Span],
) -> FloatTensor<B> {
    let (q, k, v) = (wrap::<B, 3>(q), wrap::<B, 2>(k), wrap::<B, 2>(v));
    let [n, heads, head_dim] = q.dims();
    let kv_heads = k.dims()[1] / head_dim;
    let groups = heads / kv_heads;
    let len = spans.iter().map(|s| s.first.1.max(s.second.1)).max().unwrap_or(0);
    // [kv_heads, len, head_dim]
    let by_head = |t: Tensor<B, 2>| t.narrow(0, 0, len).reshape([len, kv_heads, head_dim]).swap_dims(0, 1);
    let mut bias = Vec::with_capacity(groups * n * len);
    for span in spans {
        bias.extend((0..len).map(|row| if span.sees(row) { 0.0 } else { HIDDEN }));
    }
    for _ in 1..groups {
        bias.extend_from_within(0..n * len);
    }
    let bias = Tensor::<B, 3>::from_data(TensorData::new(bias, [1, groups * n, len]), &q.device());
    // [kv_heads, groups × n, head_dim]: all queries of one key head in one matrix product.
    let q = q
        .reshape([n, kv_heads, groups, head_dim])
        .permute([1, 2, 0, 3])
        .reshape([kv_heads, groups * n, head_dim]);
    let weights = activation::softmax(q.matmul(by_head(k).transpose()) + bias, 2);
    let out = weights.matmul(by_head(v));
    unwrap(
        out.reshape([kv_heads, groups, n, head_dim])
            .permute([2, 0, 1, 3])
            .reshape([n, heads, head_dim]),
    )
}

/// See [`Fused::move_rows`].
pub(super) fn move_rows<B: Fused>(
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    from: usize,
    to: usize,
    n: usize,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let moved = |t: FloatTensor<B>| {
        let t = wrap::<B, 2>(t);
        let width = t.dims()[1];
        let rows = t.clone().narrow(0, from, n);
        unwrap(t.slice_assign([to..to + n, 0..width], rows))
    };
    (moved(k), moved(v))
}
