//! Pages to visual tokens: patches, encoder, aligner.

use super::layers::{Activation, End};
use super::{Heads, Program, span_words};
use crate::config::{AlignerKind, FoldConfig};
use crate::context::Span;
use crate::gpu::recording::Recording;
use crate::gpu::weights::Vision;
use crate::page::PageImage;
use folio_shaders::{add_position, patchify};

impl Program {
    /// Reads `pages`, of which the first `slots` patches each are kept, into the residual stream's first rows.
    pub(in crate::gpu) fn encode(
        &self,
        rec: &mut Recording,
        fold: &FoldConfig,
        vision: &Vision,
        pages: &[PageImage],
        slots: &[usize],
    ) {
        let (v, s) = (&fold.vision, &self.scratch);
        let (d, n) = (v.hidden_size, slots.iter().sum::<usize>());
        self.patches(rec, fold, pages, slots);
        self.linear(rec, &vision.patch, s.patches, s.vision_x, n, End::PLAIN);
        rec.dispatch(
            add_position::call(
                add_position::Params {
                    elements: n as u32,
                    d4: (d / 4) as u32,
                    rows: v.num_patches() as u32,
                    ..Default::default()
                },
                add_position::Bindings {
                    position: vision.position,
                    index: s.index,
                    x: s.vision_x,
                },
            ),
            [(d / 4).div_ceil(64), n, 1],
        );
        let heads = Heads {
            heads: v.num_attention_heads,
            kv_heads: v.num_attention_heads,
            head_dim: d / v.num_attention_heads,
            q_row: (3 * d, 0),
            kv_row: (3 * d, d, 2 * d),
        };
        let seen = slots.iter().copied().max().unwrap_or(0);
        for layer in &vision.layers {
            self.layer_norm(rec, &layer.norm1, s.vision_x, s.vision_h, n, v);
            self.linear(rec, &layer.qkv, s.vision_h, s.vision_qkv, n, End::PLAIN);
            self.attention(rec, heads, [s.vision_qkv; 3], s.page_spans, n, seen, s.vision_attended);
            self.linear(rec, &layer.out, s.vision_attended, s.vision_x, n, End::RESIDUAL);
            self.layer_norm(rec, &layer.norm2, s.vision_x, s.vision_h, n, v);
            let gelu = End::activate(Activation::GeluTanh);
            self.linear(rec, &layer.fc1, s.vision_h, s.vision_hidden, n, gelu);
            self.linear(rec, &layer.fc2, s.vision_hidden, s.vision_x, n, End::RESIDUAL);
        }
        self.layer_norm(rec, &vision.post_norm, s.vision_x, s.vision_h, n, v);
        self.align(rec, fold, vision, n);
    }

    fn align(&self, rec: &mut Recording, fold: &FoldConfig, vision: &Vision, n: usize) {
        let s = &self.scratch;
        let end = End {
            activation: match fold.aligner.kind {
                AlignerKind::Tanh => Activation::Tanh,
                _ => Activation::None,
            },
            scale: vision.align_scale,
            accumulate: false,
        };
        let input = match &vision.align_first {
            Some(first) => {
                let gelu = End::activate(Activation::GeluErf);
                self.linear(rec, first, s.vision_h, s.vision_hidden, n, gelu);
                s.vision_hidden
            }
            None => s.vision_h,
        };
        self.linear(rec, &vision.align, input, s.x, n, end);
    }

    /// Sends the pages and cuts them.
    fn patches(&self, rec: &mut Recording, fold: &FoldConfig, pages: &[PageImage], slots: &[usize]) {
        let (v, s) = (&fold.vision, &self.scratch);
        let mut pixels: Vec<u8> = Vec::with_capacity(pages.len() * v.image_height * v.image_width + 4);
        let (mut index, mut spans) = (Vec::new(), Vec::new());
        for (i, (page, &kept)) in pages.iter().zip(slots).enumerate() {
            pixels.extend_from_slice(&page.pixels);
            let first = index.len();
            index.extend((0..kept).map(|patch| (i * v.num_patches() + patch) as u32));
            // Every patch of a page sees all patches of that page.
            let span = Span {
                first: (first, first + kept),
                second: (0, 0),
            };
            spans.extend(std::iter::repeat_n(span, kept));
        }
        pixels.resize(pixels.len().next_multiple_of(4), 0);
        rec.write(s.pages, &pixels);
        rec.write(s.index, &index);
        rec.write(s.page_spans, &span_words(&spans));
        rec.dispatch(
            patchify::call(
                patchify::Params {
                    patches: index.len() as u32,
                    channels: v.num_channels as u32,
                    patch_height: v.patch_height as u32,
                    patch_width: v.patch_width as u32,
                    image_height: v.image_height as u32,
                    image_width: v.image_width as u32,
                    ..Default::default()
                },
                patchify::Bindings {
                    pages: s.pages,
                    index: s.index,
                    y: s.patches,
                },
            ),
            [v.patch_len().div_ceil(64), index.len(), 1],
        );
    }
}
