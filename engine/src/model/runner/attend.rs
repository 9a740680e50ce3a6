//! Attention of new elements over the KV.

use super::super::decoder::Qkv;
use super::super::fused::{Fused, Prefix, unwrap, wrap};
use super::super::kv::LayerKv;
use super::Into;
use crate::cost::meter;
use burn::tensor::Tensor;

/// Writes the new keys and values, then attends: to the memory, and to the open chunk where it is seen.
pub(super) fn attend<B: Fused>(
    qkv: Qkv<B>,
    kv: &mut LayerKv<B>,
    memory: usize,
    open: usize,
    into: Into,
) -> Tensor<B, 2> {
    let [n, heads, head_dim] = qkv.q.dims();
    let (k, v) = (qkv.k.swap_dims(0, 1), qkv.v.swap_dims(0, 1));
    let (memory, open) = match into {
        Into::Open => {
            kv.open.write(open, k, v);
            (Prefix::All(memory), Prefix::Causal { before: open })
        }
        Into::Memory { sees_open } => {
            kv.memory.write(memory, k, v);
            // Only the first page replaces the open text: later pages of the batch must not see it.
            let queries = sees_open.min(n);
            (Prefix::Causal { before: memory }, Prefix::First { queries, rows: open })
        }
    };
    let seen: usize = (0..n).map(|i| memory.rows(i) + open.rows(i)).sum();
    meter::count(4 * (heads * head_dim * seen) as u64);
    let buffers = vec![kv.memory.seen(memory), kv.open.seen(open)];
    let out: Tensor<B, 3> = wrap(B::attend(unwrap(qkv.q), buffers));
    out.reshape([n, heads * head_dim])
}
