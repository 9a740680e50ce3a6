//! The forward pass as recordings: which kernels run over which buffers, for text, for pages, for one token or many.
//!
//! Nothing here touches a device: a recording can be counted without being run.

#![allow(
    clippy::needless_update,
    reason = "whether a kernel's parameters end in padding is not the host's business"
)]

mod attention;
mod decoder;
mod layers;
mod sample;
mod vision;

pub(super) use attention::Heads;
pub(super) use sample::{DRAWN_BYTES, decode_draw};

use super::kv::Kv;
use super::recording::{Buffer, Recording};
use super::scratch::Scratch;
use super::weights::Weights;
use crate::config::Config;
use crate::context::{Context, Span};
use crate::page::PageImage;
use crate::runner::DrawRequest;
use folio_shaders::Style;
use std::collections::BTreeSet;

/// A model on a machine, ready to be recorded.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) config: Config,
    pub(super) weights: Weights,
    pub(super) scratch: Scratch,
    pub(super) kv: Kv,
    pub(super) style: Style,
    /// `theta^(-2i / head_dim)` for each pair.
    pub(super) inverse_frequencies: Vec<f64>,
}

impl Program {
    /// Every buffer.
    pub(super) fn buffers(&self) -> Vec<Buffer> {
        let mut all = self.weights.buffers();
        all.extend(self.scratch.buffers());
        all.extend(self.kv.buffers());
        all
    }

    /// The kernels that running and drawing text and folding pages take, by index: found by recording each.
    pub(super) fn kernels(&self) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let context = Context::new();
        // One token, and a batch; a few rows and many, so that attention is recorded with and without splits.
        for (n, seen) in [(1, 1), (1, 4096), (64, 64)] {
            let mut rec = Recording::default();
            let mut step = context.extend_step(n);
            step.spans[0].first.1 = seen;
            self.text(&mut rec, &vec![0; n], &step, None);
            self.logits(&mut rec, 0, 1);
            self.draw(&mut rec, &DrawRequest::greedy());
            self.evict(&mut rec, 1, 2);
            all.extend(rec.dispatches.iter().map(|d| d.call.kernel.index));
        }
        if let (Some(fold), Some(vision)) = (&self.config.fold, &self.weights.vision) {
            for slots in [1, fold.vision.num_patches()] {
                let page = PageImage {
                    width: fold.vision.image_width,
                    height: fold.vision.image_height,
                    pixels: vec![0; fold.vision.image_width * fold.vision.image_height],
                    background: 255,
                };
                let mut rec = Recording::default();
                self.encode(&mut rec, fold, vision, &[page], &[slots]);
                all.extend(rec.dispatches.iter().map(|d| d.call.kernel.index));
            }
        }
        all
    }
}

/// Spans as kernels read them.
pub(super) fn span_words(spans: &[Span]) -> Vec<[u32; 4]> {
    spans
        .iter()
        .map(|span| [span.first.0, span.first.1, span.second.0, span.second.1].map(|row| row as u32))
        .collect()
}
