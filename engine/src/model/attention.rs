//! Attention over a packed batch: memory to memory, and each chunk's text to memory and to itself. By a kernel or by ranges;
//! here in plain operations with masks, for what ranges cannot say (`visual_sees_text`).

use super::decoder::Qkv;
use super::fused::{Fused, unwrap, wrap};
use super::packed::Packed;
use super::ranged::ranged_attention;
use burn::tensor::{Tensor, activation};

/// Attention of every row of `packed`, `[D × S, heads × head_dim]`; text of other chunks is never computed.
pub(super) fn packed_attention<B: Fused>(qkv: Qkv<B>, packed: &Packed<B>) -> Tensor<B, 2> {
    let [rows, heads, head_dim] = qkv.q.dims();
    let Some(biases) = &packed.biases else {
        if !B::PACKED_ATTENTION {
            return ranged_attention(qkv, &packed.plan, packed.products);
        }
        let [q, k, v] = [qkv.q, qkv.k, qkv.v].map(unwrap);
        let out = B::packed_attention(&q, &k, &v, &packed.plan).expect("a kernel, as the backend says");
        return wrap::<B, 3>(out).reshape([rows, heads * head_dim]);
    };
    let kv_heads = qkv.k.dims()[1];
    let groups = heads / kv_heads;
    // Products in their type, all else in the given one.
    let (given, products) = (qkv.q.dtype(), packed.products);
    let qkv = Qkv {
        q: qkv.q.cast(products),
        k: qkv.k.cast(products),
        v: qkv.v.cast(products),
    };
    let weigh = |scores: Tensor<B, 4>| activation::softmax(scores, 3).cast(products);
    let (d, m, n, k_len) = (packed.documents, packed.memory, packed.chunks, packed.chunk_len);
    let size = rows / d;
    let q = qkv.q.reshape([d, size, kv_heads, groups, head_dim]);
    // Keys and values: [d, kv_heads, S, head_dim].
    let k = qkv.k.reshape([d, size, kv_heads, head_dim]).swap_dims(1, 2);
    let v = qkv.v.reshape([d, size, kv_heads, head_dim]).swap_dims(1, 2);
    let (k_memory, v_memory) = (k.clone().narrow(2, 0, m), v.clone().narrow(2, 0, m));

    let q_memory = q
        .clone()
        .narrow(1, 0, m)
        .permute([0, 2, 3, 1, 4])
        .reshape([d, kv_heads, groups * m, head_dim]);
    let own = q_memory.clone().matmul(k_memory.clone().transpose()).cast(given) + biases.memory.clone();
    let attended = match &biases.memory_to_open {
        None => weigh(own).matmul(v_memory.clone()).cast(given),
        Some(bias) => {
            let (k_open, v_open) = (k.clone().narrow(2, m, n * k_len), v.clone().narrow(2, m, n * k_len));
            let open = q_memory.matmul(k_open.transpose()).cast(given) + bias.clone();
            let weights = weigh(Tensor::cat(vec![own, open], 3));
            let from_memory = weights.clone().narrow(3, 0, m).matmul(v_memory.clone()).cast(given);
            from_memory + weights.narrow(3, m, n * k_len).matmul(v_open).cast(given)
        }
    };
    let memory_out = attended
        .reshape([d, kv_heads, groups, m, head_dim])
        .permute([0, 3, 1, 2, 4])
        .reshape([d, m, heads * head_dim]);
    let Some(open_bias) = &biases.open else {
        return memory_out.reshape([rows, heads * head_dim]);
    };

    let open_len = n * k_len;
    let q_open = q
        .narrow(1, m, open_len)
        .reshape([d, n, k_len, kv_heads, groups, head_dim])
        .permute([0, 3, 1, 4, 2, 5]);
    let per_head = q_open.clone().reshape([d, kv_heads, n * groups * k_len, head_dim]);
    let per_chunk = q_open.reshape([d * kv_heads * n, groups * k_len, head_dim]);
    let chunked = |t: Tensor<B, 4>| t.narrow(2, m, open_len).reshape([d * kv_heads * n, k_len, head_dim]);
    let (k_chunk, v_chunk) = (chunked(k), chunked(v));
    let to_memory = per_head.matmul(k_memory.transpose());
    let to_chunk = per_chunk
        .matmul(k_chunk.transpose())
        .reshape([d, kv_heads, n * groups * k_len, k_len]);
    let weights = weigh(Tensor::cat(vec![to_memory, to_chunk], 3).cast(given) + open_bias.clone());
    let from_memory = weights.clone().narrow(3, 0, m).matmul(v_memory).cast(given);
    let from_chunk = weights
        .narrow(3, m, k_len)
        .reshape([d * kv_heads * n, groups * k_len, k_len])
        .matmul(v_chunk)
        .cast(given)
        .reshape([d, kv_heads, n * groups * k_len, head_dim]);
    let open_out = (from_memory + from_chunk)
        .reshape([d, kv_heads, n, groups, k_len, head_dim])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([d, open_len, heads * head_dim]);
    Tensor::cat(vec![memory_out, open_out], 1).reshape([rows, heads * head_dim])
}
