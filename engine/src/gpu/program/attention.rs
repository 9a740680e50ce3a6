//! Attention by spans, in the decoder and in the encoder.

use super::Program;
use crate::gpu::recording::{Buffer, Recording};
use crate::gpu::scratch::{MAX_SPLITS, SPLIT_QUERIES};
use crate::gpu::watch::Watch;
use folio_shaders::{Style, ask_rows, ask_slots, attention_merge, visual_attention};

/// Rows that one split should at least have: less is not worth a merge.
const SPLIT_ROWS: usize = 64;

/// Where queries, keys and values lie, in groups of four.
#[derive(Debug, Clone, Copy)]
pub(in crate::gpu) struct Heads {
    pub(in crate::gpu) heads: usize,
    pub(in crate::gpu) kv_heads: usize,
    pub(in crate::gpu) head_dim: usize,
    /// Values in a row of queries; where the first head begins.
    pub(in crate::gpu) q_row: (usize, usize),
    /// Values in a row of keys and values; where the first key head and the first value head begin.
    pub(in crate::gpu) kv_row: (usize, usize, usize),
}

impl Program {
    /// `y[i]` = what query `i` finds in the rows of `k` and `v` that its span holds; y `[queries, heads, head_dim]`.
    ///
    /// `seen`: the most rows that one query sees.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn attention(
        &self,
        rec: &mut Recording,
        heads: Heads,
        [q, k, v]: [Buffer; 3],
        spans: Buffer,
        queries: usize,
        seen: usize,
        y: Buffer,
    ) {
        let splits = if queries <= SPLIT_QUERIES {
            (seen / SPLIT_ROWS).clamp(1, MAX_SPLITS)
        } else {
            1
        };
        let call = visual_attention::call(
            self.style,
            visual_attention::Params {
                queries: queries as u32,
                heads: heads.heads as u32,
                group: (heads.heads / heads.kv_heads) as u32,
                head_dim4: (heads.head_dim / 4) as u32,
                q_stride4: (heads.q_row.0 / 4) as u32,
                q_offset4: (heads.q_row.1 / 4) as u32,
                kv_stride4: (heads.kv_row.0 / 4) as u32,
                k_offset4: (heads.kv_row.1 / 4) as u32,
                v_offset4: (heads.kv_row.2 / 4) as u32,
                splits: splits as u32,
                scale: (heads.head_dim as f32).powf(-0.5),
                ..Default::default()
            },
            visual_attention::Bindings {
                q,
                k,
                v,
                spans,
                y: if splits > 1 { self.scratch.parts } else { y },
                stats: self.scratch.stats,
            },
        );
        // Tiles of (query, head) pairs that share a key head.
        let tiles = (queries * heads.heads / heads.kv_heads).div_ceil(call.kernel.constant("ROWS") as usize);
        let grid = match Style::of(call.kernel) {
            Some(Style::Serial) => {
                let lanes = call.kernel.constant("LANES") as usize;
                [(tiles * heads.kv_heads * splits).div_ceil(lanes), 1, 1]
            }
            _ => [tiles, heads.kv_heads, splits],
        };
        rec.dispatch(call, grid);
        if splits > 1 {
            let merged = queries * heads.heads * heads.head_dim / 4;
            rec.dispatch(
                attention_merge::call(
                    attention_merge::Params {
                        rows: (queries * heads.heads) as u32,
                        splits: splits as u32,
                        head_dim4: (heads.head_dim / 4) as u32,
                        ..Default::default()
                    },
                    attention_merge::Bindings {
                        parts: self.scratch.parts,
                        stats: self.scratch.stats,
                        y,
                    },
                ),
                [merged.div_ceil(64), 1, 1],
            );
        }
    }
    /// Adds what the queries give to the slots of memory. Rows of q, k and v hold nothing but heads.
    pub(super) fn ask(
        &self,
        rec: &mut Recording,
        heads: Heads,
        [q, k]: [Buffer; 2],
        spans: Buffer,
        queries: usize,
        watch: &Watch,
    ) {
        let (rows, group) = (queries * heads.heads, (heads.heads / heads.kv_heads) as u32);
        let (head_dim4, scale) = ((heads.head_dim / 4) as u32, (heads.head_dim as f32).powf(-0.5));
        let call = ask_rows::call(
            self.style,
            ask_rows::Params {
                queries: queries as u32,
                heads: heads.heads as u32,
                group,
                head_dim4,
                scale,
                ..Default::default()
            },
            ask_rows::Bindings {
                q,
                k,
                spans,
                softmax: watch.softmax,
            },
        );
        let per_group = call.kernel.constant("ROWS") as usize;
        rec.dispatch(call, [rows.div_ceil(per_group), 1, 1]);
        let call = ask_slots::call(
            ask_slots::Params {
                queries: queries as u32,
                heads: heads.heads as u32,
                group,
                head_dim4,
                slots: watch.memory as u32,
                scale,
                ..Default::default()
            },
            ask_slots::Bindings {
                q,
                k,
                softmax: watch.softmax,
                asked: watch.asked,
            },
        );
        rec.dispatch(call, [watch.memory.div_ceil(64), 1, 1]);
    }
}
