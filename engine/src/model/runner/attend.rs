//! Attention of new elements over the KV.

use super::super::decoder::Qkv;
use super::super::kv::LayerKv;
use super::{HIDDEN, Into};
use burn::tensor::{Tensor, TensorData, activation, backend::Backend};

/// Writes the new keys and values, then attends: to the memory, and to the open chunk where it is seen.
pub(super) fn attend<B: Backend>(
    qkv: Qkv<B>,
    kv: &mut LayerKv<B>,
    memory: usize,
    open: usize,
    into: Into,
) -> Tensor<B, 2> {
    let [n, heads, head_dim] = qkv.q.dims();
    let kv_heads = qkv.k.dims()[1];
    let groups = heads / kv_heads;
    let device = qkv.q.device();
    // [kv_heads, groups × n, head_dim]: all queries of one key head in one matrix product.
    let q = qkv
        .q
        .reshape([n, kv_heads, groups, head_dim])
        .permute([1, 2, 0, 3])
        .reshape([kv_heads, groups * n, head_dim]);
    let (k, v) = (qkv.k.swap_dims(0, 1), qkv.v.swap_dims(0, 1));
    let (memory_len, open_len, memory_bias, open_bias) = match into {
        Into::Open => {
            kv.open.write(open, k, v);
            (
                memory,
                open + n,
                None,
                (n > 1).then(|| causal(n, open, groups, &device)),
            )
        }
        Into::Memory { sees_open } => {
            kv.memory.write(memory, k, v);
            let seen = if sees_open > 0 { open } else { 0 };
            // Only the first page replaces the open text: later pages of the batch must not see it.
            let bias = (sees_open > 0 && sees_open < n).then(|| hide_after(n, sees_open, seen, groups, &device));
            (
                memory + n,
                seen,
                (n > 1).then(|| causal(n, memory, groups, &device)),
                bias,
            )
        }
    };
    let mut scores = Vec::with_capacity(2);
    let mut values = Vec::with_capacity(2);
    for (rows, len, bias) in [(&kv.memory, memory_len, memory_bias), (&kv.open, open_len, open_bias)] {
        if len > 0 {
            let (k, v) = rows.first(len);
            let s = q.clone().matmul(k.transpose());
            scores.push(match bias {
                Some(bias) => s + bias,
                None => s,
            });
            values.push(v);
        }
    }
    let weights = activation::softmax(Tensor::cat(scores, 2), 2);
    let mut at = 0;
    let mut out: Option<Tensor<B, 3>> = None;
    for v in values {
        let len = v.dims()[1];
        let part = weights.clone().narrow(2, at, len).matmul(v);
        at += len;
        out = Some(match out {
            Some(sum) => sum + part,
            None => part,
        });
    }
    let out = out.expect("an element always sees itself");
    out.reshape([kv_heads, groups, n, head_dim])
        .permute([2, 0, 1, 3])
        .reshape([n, heads * head_dim])
}

/// Bias `[1, groups × n, before + n]`: query `i` sees the `before` earlier rows and the new ones up to itself.
fn causal<B: Backend>(n: usize, before: usize, groups: usize, device: &B::Device) -> Tensor<B, 3> {
    bias(n, before + n, groups, |i, j| j <= before + i, device)
}

/// Bias `[1, groups × n, columns]`: queries from `first` on see nothing.
fn hide_after<B: Backend>(n: usize, first: usize, columns: usize, groups: usize, device: &B::Device) -> Tensor<B, 3> {
    bias(n, columns, groups, |i, _| i < first, device)
}

fn bias<B: Backend>(
    n: usize,
    columns: usize,
    groups: usize,
    sees: impl Fn(usize, usize) -> bool,
    device: &B::Device,
) -> Tensor<B, 3> {
    let mut data = Vec::with_capacity(groups * n * columns);
    for i in 0..n {
        data.extend((0..columns).map(|j| if sees(i, j) { 0.0 } else { HIDDEN }));
    }
    for _ in 1..groups {
        data.extend_from_within(0..n * columns);
    }
    Tensor::from_data(TensorData::new(data, [1, groups * n, columns]), device)
}
