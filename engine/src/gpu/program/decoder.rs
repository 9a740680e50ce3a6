//! The decoder: text tokens or visual tokens through all blocks, and the logits.

use super::{Heads, Program, layers::End, span_words};
use crate::context::{Commit, Step};
use crate::gpu::recording::{Buffer, Recording};
use crate::gpu::scratch::LOGIT_ROWS;
use crate::gpu::watch::Watch;
use folio_shaders::{embed_rows, fold_chunk, rope_kv};

impl Program {
    /// Text tokens: `ids` are embedded and run. What they ask of the memory is added to `watch`.
    pub(in crate::gpu) fn text(&self, rec: &mut Recording, ids: &[u32], step: &Step, watch: Option<&Watch>) {
        rec.write(self.scratch.ids, ids);
        let table = &self.weights.embed;
        for shard in &table.shards {
            let call = embed_rows::call(
                table.weight,
                embed_rows::Params {
                    tokens: ids.len() as u32,
                    id0: 0,
                    k4: table.k4 as u32,
                    row0: shard.row0 as u32,
                    rows: shard.rows as u32,
                    scales: shard.scales,
                    ..Default::default()
                },
                embed_rows::Bindings {
                    weights: shard.buffer,
                    ids: self.scratch.ids,
                    x: self.scratch.x,
                },
            );
            rec.dispatch(call, [table.k4.div_ceil(64), ids.len(), 1]);
        }
        self.blocks(rec, step, watch);
    }

    /// The residual stream's first rows, one per element of `step`, through all blocks; their KV is written.
    pub(in crate::gpu) fn blocks(&self, rec: &mut Recording, step: &Step, watch: Option<&Watch>) {
        let (text, s) = (&self.config.text, &self.scratch);
        let n = step.spans.len();
        rec.write(s.spans, &span_words(&step.spans));
        rec.write(s.rope, &self.rope(step.position, n));
        let heads = Heads {
            heads: text.num_attention_heads,
            kv_heads: text.num_key_value_heads,
            head_dim: text.head_dim,
            q_row: (text.q_size(), 0),
            kv_row: (text.kv_size(), 0, 0),
        };
        let seen = step.spans.iter().map(|span| span.len()).max().unwrap_or(0);
        for (layer, kv) in self.weights.layers.iter().zip(&self.kv.layers) {
            self.rms_norm(rec, layer.input_norm, s.x, 0, n, s.h);
            self.linear(rec, &layer.qkv, s.h, s.qkv, n, End::PLAIN);
            let call = rope_kv::call(
                self.style,
                rope_kv::Params {
                    elements: n as u32,
                    heads: heads.heads as u32,
                    kv_heads: heads.kv_heads as u32,
                    head_dim: heads.head_dim as u32,
                    position0: 0,
                    kv_row0: step.row as u32,
                    has_norm: u32::from(layer.head_norms.is_some()),
                    eps: text.rms_norm_eps as f32,
                    ..Default::default()
                },
                rope_kv::Bindings {
                    qkv: s.qkv,
                    rope: s.rope,
                    norms: layer.head_norms.unwrap_or(s.unused),
                    q: s.q,
                    k: kv.k,
                    v: kv.v,
                },
            );
            let per_group = call.kernel.constant("HEADS") as usize;
            rec.dispatch(call, [(heads.heads + 2 * heads.kv_heads).div_ceil(per_group), n, 1]);
            self.attention(rec, heads, [s.q, kv.k, kv.v], s.spans, n, seen, s.attended);
            if let Some(watch) = watch {
                self.ask(rec, heads, [s.q, kv.k], s.spans, n, watch);
            }
            self.linear(rec, &layer.o, s.attended, s.x, n, End::RESIDUAL);
            self.rms_norm(rec, layer.post_norm, s.x, 0, n, s.h);
            self.gated(rec, &layer.gate_up, s.h, s.hidden, n);
            self.linear(rec, &layer.down, s.hidden, s.x, n, End::RESIDUAL);
        }
    }

    /// Logits of `rows` rows of the residual stream from `row0` on, at the start of `scratch.logits`.
    pub(in crate::gpu) fn logits(&self, rec: &mut Recording, row0: usize, rows: usize) -> Buffer {
        debug_assert!(rows <= LOGIT_ROWS);
        let (w, s) = (&self.weights, &self.scratch);
        self.rms_norm(rec, w.norm, s.x, row0, rows, s.h);
        self.project(rec, w.head.as_ref().unwrap_or(&w.embed), s.h, s.logits, rows);
        s.logits
    }

    /// Moves a page's visual KV over the text KV that it replaces.
    pub(in crate::gpu) fn commit(&self, rec: &mut Recording, commit: &Commit) {
        let stride4 = self.config.text.kv_size() / 4;
        self.shift(rec, commit.from.start, commit.to, commit.from.len(), stride4);
    }

    /// Forgets the `n` oldest of `used` KV rows: the others move to the front, in steps that do not overlap.
    pub(in crate::gpu) fn evict(&self, rec: &mut Recording, n: usize, used: usize) {
        let stride4 = self.config.text.kv_size() / 4;
        for from in (n..used).step_by(n.max(1)) {
            self.shift(rec, from, from - n, n.min(used - from), stride4);
        }
    }

    fn shift(&self, rec: &mut Recording, from: usize, to: usize, rows: usize, stride4: usize) {
        for kv in &self.kv.layers {
            let call = fold_chunk::call(
                fold_chunk::Params {
                    rows: rows as u32,
                    from_row: from as u32,
                    to_row: to as u32,
                    stride4: stride4 as u32,
                    ..Default::default()
                },
                fold_chunk::Bindings { k: kv.k, v: kv.v },
            );
            rec.dispatch(call, [(rows * stride4).div_ceil(64), 1, 1]);
        }
    }

    /// Cosines and sines of `n` positions from `start` on, `[n, head_dim / 2, 2]`. Angles are taken in f64: positions
    /// reach tens of thousands, and WGSL promises its own sine only near zero.
    fn rope(&self, start: usize, n: usize) -> Vec<f32> {
        let mut table = Vec::with_capacity(2 * n * self.inverse_frequencies.len());
        for position in start..start + n {
            for w in &self.inverse_frequencies {
                let (sin, cos) = (position as f64 * w).sin_cos();
                table.extend([cos as f32, sin as f32]);
            }
        }
        table
    }
}
