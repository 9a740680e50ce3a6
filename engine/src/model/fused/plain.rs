//! Operations in plain tensor operations: for backends without a kernel, and to test kernels against.

use super::super::cat::cat;
use super::{Fused, PageLengths, Prefix, Seen, unwrap, wrap};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{FloatDType, Tensor, TensorData, activation, backend::Backend};

/// Added to the scores of pairs that do not see each other.
const HIDDEN: f32 = -1e9;

/// See [`Fused::linear`].
pub(super) fn linear<B: Fused>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let (x, weight) = (wrap::<B, 2>(x), wrap::<B, 2>(weight));
    let (given, product) = (x.dtype(), weight.dtype());
    let y = x.cast(product).matmul(weight.transpose()).cast(given);
    unwrap(match bias {
        Some(bias) => y + wrap::<B, 1>(bias).unsqueeze(),
        None => y,
    })
}

/// See [`Fused::matmul_in`].
pub(super) fn matmul_in<B: Fused>(a: FloatTensor<B>, b: FloatTensor<B>, dtype: FloatDType) -> FloatTensor<B> {
    let (a, b) = (wrap::<B, 2>(a), wrap::<B, 2>(b));
    let given = a.dtype();
    unwrap(a.cast(dtype).matmul(b.cast(dtype)).cast(given))
}

/// See [`Fused::layer_norm`].
pub(super) fn layer_norm<B: Fused>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    eps: f64,
) -> FloatTensor<B> {
    let x = wrap::<B, 2>(x);
    let centred = x.clone() - x.mean_dim(1);
    let inverse = centred.clone().square().mean_dim(1).add_scalar(eps).sqrt().recip();
    unwrap(centred * inverse * wrap::<B, 1>(weight).unsqueeze() + wrap::<B, 1>(bias).unsqueeze())
}

/// See [`Fused::page_attention`].
pub(super) fn page_attention<B: Fused>(
    qkv: [FloatTensor<B>; 3],
    heads: usize,
    lengths: &PageLengths,
    dtype: FloatDType,
) -> FloatTensor<B> {
    let [q, k, v] = qkv.map(wrap::<B, 2>);
    let ([n, d], device, given) = (q.dims(), q.device(), q.dtype());
    let (pages, slots, head_dim) = (lengths.lengths.len(), lengths.slots, d / heads);
    let split = |t: Tensor<B, 2>| t.reshape([pages, slots, heads, head_dim]).swap_dims(1, 2).cast(dtype);
    let q = split(q.mul_scalar((head_dim as f64).powf(-0.5)));
    let mut scores = q.matmul(split(k).transpose()).cast(given);
    if lengths.padded() {
        let row = |&len: &usize| (0..slots).map(move |s| if s < len { 0.0 } else { HIDDEN });
        let bias: Vec<f32> = lengths.lengths.iter().flat_map(row).collect();
        scores = scores + Tensor::<B, 4>::from_data(TensorData::new(bias, [pages, 1, 1, slots]), &device);
    }
    let out = activation::softmax(scores, 3).cast(dtype).matmul(split(v)).cast(given);
    unwrap(out.swap_dims(1, 2).reshape([n, d]))
}

/// See [`Fused::attend`].
pub(super) fn attend<B: Fused>(q: FloatTensor<B>, buffers: Vec<Seen<B>>) -> FloatTensor<B> {
    attend_weighing::<B>(q, buffers).0
}

/// See [`Fused::attend_watched`].
pub(super) fn attend_watched<B: Fused>(q: FloatTensor<B>, buffers: Vec<Seen<B>>) -> (FloatTensor<B>, Vec<f32>) {
    let n = wrap::<B, 3>(q.clone()).dims()[0];
    let first = buffers
        .first()
        .map(|b| (0..n).map(|i| b.seen.rows(i)).max().unwrap_or(0));
    let (out, weights) = attend_weighing::<B>(q, buffers);
    let shares = match first {
        Some(rows) if rows > 0 => {
            let of_rows = weights.narrow(2, 0, rows).sum_dim(0).sum_dim(1).reshape([rows]);
            of_rows.into_data().convert::<f32>().into_vec().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    (out, shares)
}

/// Attention, and its weights, `[kv_heads, groups × n, rows of all buffers]`.
fn attend_weighing<B: Fused>(q: FloatTensor<B>, buffers: Vec<Seen<B>>) -> (FloatTensor<B>, Tensor<B, 3>) {
    let q = wrap::<B, 3>(q);
    let [n, heads, head_dim] = q.dims();
    let device = q.device();
    let (mut scores, mut values) = (Vec::new(), Vec::new());
    let (mut kv_heads, mut groups) = (0, 0);
    let mut rows = None;
    for buffer in buffers {
        let len = (0..n).map(|i| buffer.seen.rows(i)).max().unwrap_or(0);
        if len == 0 {
            continue;
        }
        let (k, v) = (wrap::<B, 3>(buffer.k), wrap::<B, 3>(buffer.v));
        (kv_heads, groups) = (k.dims()[0], heads / k.dims()[0]);
        // [kv_heads, groups × n, head_dim]: all queries of one key head in one matrix product.
        let rows = rows.get_or_insert_with(|| {
            q.clone()
                .reshape([n, kv_heads, groups, head_dim])
                .permute([1, 2, 0, 3])
                .reshape([kv_heads, groups * n, head_dim])
        });
        let s = rows.clone().matmul(k.narrow(1, 0, len).transpose());
        scores.push(match buffer.seen {
            Prefix::All(_) => s,
            seen => s + bias(n, len, groups, seen, &device),
        });
        values.push(v.narrow(1, 0, len));
    }
    let weights = activation::softmax(cat(scores, 2), 2);
    let mut at = 0;
    let mut out = Tensor::zeros([kv_heads, groups * n, head_dim], &device);
    for v in values {
        let len = v.dims()[1];
        out = out + weights.clone().narrow(2, at, len).matmul(v);
        at += len;
    }
    let out = out
        .reshape([kv_heads, groups, n, head_dim])
        .permute([2, 0, 1, 3])
        .reshape([n, heads, head_dim]);
    (unwrap(out), weights)
}

/// `[1, groups × n, columns]`: 0 where query `i` sees a row, else [`HIDDEN`].
fn bias<B: Backend>(n: usize, columns: usize, groups: usize, seen: Prefix, device: &B::Device) -> Tensor<B, 3> {
    let mut data = Vec::with_capacity(groups * n * columns);
    for i in 0..n {
        data.extend((0..columns).map(|j| if j < seen.rows(i) { 0.0 } else { HIDDEN }));
    }
    for _ in 1..groups {
        data.extend_from_within(0..n * columns);
    }
    Tensor::from_data(TensorData::new(data, [1, groups * n, columns]), device)
}
