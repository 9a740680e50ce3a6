//! The KV of one layer: a preallocated memory and a small buffer of its own for the open chunk.
//!
//! Writing a row into a burn tensor may copy the whole tensor, so what is written at every token (the open chunk) is
//! small, and what is large (the memory) is written once a fold. On the CPU, [`Fused::write_rows`] copies nothing else, and
//! the buffers may be of 16 bits: attention reads half the bytes, and computes in 32.

use super::fused::{Fused, Prefix, Seen, unwrap, wrap};
use burn::tensor::{DType, Tensor, backend::Backend};

/// Keys and values of one layer, each `[kv_heads, capacity, head_dim]`.
#[derive(Debug, Clone)]
pub(super) struct LayerKv<B: Backend> {
    pub memory: Rows<B>,
    pub open: Rows<B>,
}

/// A growable pair of key and value buffers.
#[derive(Debug, Clone)]
pub(super) struct Rows<B: Backend> {
    k: Option<Tensor<B, 3>>,
    v: Option<Tensor<B, 3>>,
}

impl<B: Fused> Rows<B> {
    pub(super) fn new(kv_heads: usize, capacity: usize, head_dim: usize, dtype: DType, device: &B::Device) -> Self {
        let zeros = || Some(Tensor::zeros([kv_heads, capacity, head_dim], (device, dtype)));
        Self { k: zeros(), v: zeros() }
    }

    fn capacity(&self) -> usize {
        self.k.as_ref().map_or(0, |k| k.dims()[1])
    }

    /// The first `n` rows of keys and values, as views.
    pub(super) fn first(&self, n: usize) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let view = |t: &Option<Tensor<B, 3>>| t.as_ref().expect("always present").clone().narrow(1, 0, n);
        (view(&self.k), view(&self.v))
    }

    /// The buffers for attention that sees the rows `seen` of them.
    pub(super) fn seen(&self, seen: Prefix) -> Seen<B> {
        let whole = |t: &Option<Tensor<B, 3>>| unwrap(t.as_ref().expect("always present").clone());
        Seen {
            k: whole(&self.k),
            v: whole(&self.v),
            seen,
        }
    }

    /// Writes keys and values `[kv_heads, n, head_dim]` from row `at` on, growing the buffers when they are full.
    pub(super) fn write(&mut self, at: usize, k: Tensor<B, 3>, v: Tensor<B, 3>) {
        let [heads, n, head_dim] = k.dims();
        let needed = at + n;
        if needed > self.capacity() {
            let extra = needed.next_power_of_two().max(2 * self.capacity()) - self.capacity();
            for buffer in [&mut self.k, &mut self.v] {
                let old = buffer.take().expect("always present");
                let zeros = Tensor::zeros([heads, extra, head_dim], (&old.device(), old.dtype()));
                *buffer = Some(Tensor::cat(vec![old, zeros], 1));
            }
        }
        for (buffer, rows) in [(&mut self.k, k), (&mut self.v, v)] {
            // Taken out, so that a backend which can write in place may do so.
            let old = buffer.take().expect("always present");
            let dtype = old.dtype();
            let rows = if rows.dtype() == dtype { rows } else { rows.cast(dtype) };
            *buffer = Some(wrap(B::write_rows(unwrap(old), unwrap(rows), at)));
        }
    }

    /// Drops the first `n` of `used` rows; the rest moves to the front.
    pub(super) fn drop_front(&mut self, n: usize, used: usize) {
        if used > n {
            for buffer in [&mut self.k, &mut self.v] {
                let old = buffer.take().expect("always present");
                let [heads, _, head_dim] = old.dims();
                let rest = old.clone().narrow(1, n, used - n);
                *buffer = Some(old.slice_assign([0..heads, 0..used - n, 0..head_dim], rest));
            }
        }
    }
}
