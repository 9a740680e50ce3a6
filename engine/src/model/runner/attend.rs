//! Attention of new elements over the KV.

use super::super::decoder::Qkv;
use super::super::fused::{Fused, Prefix, unwrap, wrap};
use super::super::kv::LayerKv;
use super::Into;
use crate::cost::meter;
use burn::tensor::Tensor;

/// Writes the new keys and values, then attends: to the memory, and to the open chunk where it is seen. `watched`, by slot
/// of the memory, is added the weights that it was given.
pub(super) fn attend<B: Fused>(
    qkv: Qkv<B>,
    kv: &mut LayerKv<B>,
    memory: usize,
    open: usize,
    into: Into,
    watched: Option<&mut Vec<f64>>,
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
    let out: Tensor<B, 3> = match watched {
        None => wrap(B::attend(unwrap(qkv.q), buffers)),
        Some(watched) => {
            let scored: usize = (0..n).map(|i| memory.rows(i)).sum();
            meter::count(2 * (heads * head_dim * scored) as u64);
            let (out, shares) = B::attend_watched(unwrap(qkv.q), buffers);
            if watched.len() < shares.len() {
                watched.resize(shares.len(), 0.0);
            }
            for (sum, share) in watched.iter_mut().zip(shares) {
                *sum += f64::from(share);
            }
            wrap(out)
        }
    };
    out.reshape([n, heads * head_dim])
}
