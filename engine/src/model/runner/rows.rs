//! KV in rows, for backends whose kernels want it so: one buffer for keys and one for values per layer, a row per slot,
//! the open chunk behind the memory, as the GPU runtime has it. Where new rows go, what they see and what moves when a
//! page is folded is said by [`crate::context`].

use super::super::decoder::Qkv;
use super::super::fused::{Fused, unwrap, wrap};
use super::super::rope::Rope;
use super::{BurnRunner, Into};
use crate::context::{Context, Span};
use burn::tensor::{Tensor, backend::Backend};

/// Keys and values of one layer, `[capacity, kv_heads × head_dim]` each; always present.
type Layer<B> = [Option<Tensor<B, 2>>; 2];

/// The KV of all layers.
#[derive(Debug)]
pub(super) struct RowKv<B: Backend> {
    layers: Vec<Layer<B>>,
    capacity: usize,
    width: usize,
}

impl<B: Fused> RowKv<B> {
    /// Room for `capacity` rows of `width` values in each of `layers`.
    pub(super) fn new(layers: usize, capacity: usize, width: usize, device: &B::Device) -> Self {
        let zeros = || Some(Tensor::zeros([capacity, width], device));
        Self {
            layers: (0..layers).map(|_| [zeros(), zeros()]).collect(),
            capacity,
            width,
        }
    }

    fn make_room(&mut self, rows: usize) {
        if rows > self.capacity {
            let extra = rows.next_power_of_two().max(2 * self.capacity) - self.capacity;
            for buffer in self.layers.iter_mut().flatten() {
                *buffer = buffer.take().map(|old| {
                    let zeros = Tensor::zeros([extra, self.width], &old.device());
                    Tensor::cat(vec![old, zeros], 0)
                });
            }
            self.capacity += extra;
        }
    }

    /// Writes the new keys and values from row `row` on, then attends by `spans`; gives `[n, heads × head_dim]`.
    fn attend(layer: &mut Layer<B>, qkv: Qkv<B>, row: usize, spans: &[Span]) -> Tensor<B, 2> {
        let [n, heads, head_dim] = qkv.q.dims();
        let [k, v] = [(0, qkv.k), (1, qkv.v)].map(|(i, new)| {
            let width = new.dims()[1] * head_dim;
            // Taken out, so that a backend which can write in place may do so.
            let old = layer[i].take().expect("always present");
            let written = old.slice_assign([row..row + n, 0..width], new.reshape([n, width]));
            layer[i] = Some(written.clone());
            unwrap(written)
        });
        wrap::<B, 3>(B::attend_spans(unwrap(qkv.q), k, v, spans)).reshape([n, heads * head_dim])
    }

    /// Moves `n` rows of every layer from row `from` on to row `to` on.
    fn shift(&mut self, from: usize, to: usize, n: usize) {
        for layer in &mut self.layers {
            let [k, v] = [0, 1].map(|i| unwrap(layer[i].take().expect("always present")));
            let (k, v) = B::move_rows(k, v, from, to, n);
            *layer = [Some(wrap(k)), Some(wrap(v))];
        }
    }

    /// Forgets the `n` oldest of `used` rows: the others move to the front, in steps that do not overlap.
    pub(super) fn evict(&mut self, n: usize, used: usize) {
        for from in (n..used).step_by(n.max(1)) {
            self.shift(from, from - n, n.min(used - from));
        }
    }
}

impl<B: Fused> BurnRunner<B> {
    /// As [`Self::run`], over KV in rows.
    pub(super) fn run_rows(
        &mut self,
        kv: &mut RowKv<B>,
        mut x: Tensor<B, 2>,
        rope: &Rope<B>,
        into: Into,
    ) -> Tensor<B, 2> {
        let (step, commit) = step(&self.context, x.dims()[0], into);
        kv.make_room(step.row + step.spans.len());
        for (layer, kv) in self.model.language_model.model.layers.iter().zip(&mut kv.layers) {
            x = layer.forward(x, rope, |qkv| RowKv::attend(kv, qkv, step.row, &step.spans));
        }
        if let Some(commit) = commit {
            kv.shift(commit.from.start, commit.to, commit.from.len());
        }
        x
    }
}

fn step(context: &Context, n: usize, into: Into) -> (crate::context::Step, Option<crate::context::Commit>) {
    match into {
        Into::Open => (context.extend_step(n), None),
        Into::Memory { sees_open: 0 } => context.fold_step(&[n], false),
        Into::Memory { sees_open } => context.fold_step(&[sees_open, n - sees_open], true),
    }
}
