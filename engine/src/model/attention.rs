//! Attention over a packed batch: memory to memory, and each chunk's text to memory and to itself. By a kernel or by ranges;
//! here in plain operations with masks, for `visual_sees_text` on backends without a kernel.

use super::cat::cat;
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
        let out =
            B::packed_attention(&q, &k, &v, &packed.plan, packed.products).expect("a kernel, as the backend says");
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
            let weights = weigh(cat(vec![own, open], 3));
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
    let weights = weigh(cat(vec![to_memory, to_chunk], 3).cast(given) + open_bias.clone());
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
    cat(vec![memory_out, open_out], 1).reshape([rows, heads * head_dim])
}

#[cfg(all(test, feature = "train", feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::packed::DocumentTokens;
    use super::*;
    use crate::context::Piece;
    use burn::backend::Autodiff;
    use burn::tensor::{Distribution, TensorData};
    use burn_flex::Flex;

    type B = Autodiff<Flex>;

    fn document(pieces: Vec<Piece>) -> DocumentTokens {
        let sizes = pieces.iter().map(|piece| match *piece {
            Piece::Raw { tokens } | Piece::Open { tokens } => (tokens, 0),
            Piece::Folded { tokens, visual } => (tokens, visual),
            _ => unreachable!("not used here"),
        });
        let (ids, patches) = sizes.map(|(t, v)| (vec![1; t], vec![0.0; v * 4])).unzip();
        DocumentTokens {
            pieces,
            ids,
            patches,
            ..DocumentTokens::default()
        }
    }

    #[test]
    fn pages_that_see_text_attend_alike_by_the_kernel_and_by_masks() {
        let folded = |tokens, visual| Piece::Folded { tokens, visual };
        let bos = Piece::Raw { tokens: 1 };
        // No padding: rows of padding see what they like.
        let documents = [
            document(vec![bos, folded(4, 2), folded(4, 3), Piece::Open { tokens: 4 }]),
            document(vec![bos, folded(4, 1), folded(4, 4), Piece::Open { tokens: 4 }]),
        ];
        alike(&documents);
        let mut less = documents;
        less[0].text_seen = vec![vec![], vec![2, 4], vec![1, 1, 4]];
        less[1].text_seen = vec![vec![], vec![3]];
        alike(&less);
    }

    fn alike(documents: &[DocumentTokens]) {
        let device = Default::default();
        let (heads, kv_heads, head_dim) = (4, 2, 8);
        let packed = Packed::<B>::new(documents, true, (heads, kv_heads), 4, &device);
        assert!(packed.biases.is_none(), "the kernel takes it");
        let masked = packed.clone().with_biases(documents, heads / kv_heads);
        let rows = documents.len() * packed.rows();
        let random = |heads| Tensor::<B, 3>::random([rows, heads, head_dim], Distribution::Normal(0.0, 1.0), &device);
        let inputs = [random(heads), random(kv_heads), random(kv_heads)].map(Tensor::require_grad);
        let weights = Tensor::<B, 2>::random([rows, heads * head_dim], Distribution::Normal(0.0, 1.0), &device);
        let judged = |packed: &Packed<B>| -> [TensorData; 4] {
            let [q, k, v] = inputs.clone();
            let out = packed_attention(Qkv { q, k, v }, packed);
            let grads = (out.clone() * weights.clone()).sum().backward();
            let [q, k, v] = inputs.clone().map(|t| t.grad(&grads).unwrap().into_data());
            [out.into_data(), q, k, v]
        };
        let names = ["output", "gradient of q", "gradient of k", "gradient of v"];
        for (name, (a, b)) in names.iter().zip(judged(&packed).iter().zip(&judged(&masked))) {
            let (a, b) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap());
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        }
    }
}
