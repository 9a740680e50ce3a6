//! Pages to visual tokens.

use super::super::fused::{Fused, PageLengths};
use super::BurnRunner;
use crate::config::PageEncoder;
use crate::page::{PageImage, Patches};
use crate::{Error, Result};
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::Arc;

impl<B: Fused> BurnRunner<B> {
    /// Visual tokens of `pages`, `[slots of all pages, d]`, and the slots of each page. `ids`: what the pages show, for
    /// models that read pages from their tokens.
    pub(super) fn encode(&self, pages: &[PageImage], ids: &[Vec<u32>]) -> Result<(Tensor<B, 2>, Vec<usize>)> {
        let Some(fold) = &self.config.fold else {
            return Err(Error::Argument(
                "this is a text-only model: it cannot fold. Use --context full, or train its vision side (stage `ocr`)"
                    .to_owned(),
            ));
        };
        if fold.page_encoder != PageEncoder::Vision {
            if ids.len() != pages.len() || ids.iter().any(Vec::is_empty) {
                let what = "this model reads pages from their tokens: a page whose text is not known cannot be folded";
                return Err(Error::Argument(what.to_owned()));
            }
            let slots: Vec<usize> = pages.iter().map(|page| Patches::ink_slots(page, fold)).collect();
            // Page by page: nothing is padded.
            let visual = ids.iter().zip(&slots);
            let visual = visual.map(|(ids, &n)| {
                self.model
                    .pooled_tokens(std::slice::from_ref(ids), &[n], n, &self.device)
            });
            return Ok((Tensor::cat(visual.collect(), 0), slots));
        }
        let patches: Vec<Patches> = pages.iter().map(|p| Patches::new(p, fold)).collect();
        let slots: Vec<usize> = patches.iter().map(|p| p.slots).collect();
        let most = slots.iter().copied().max().unwrap_or(0);
        let patch_len = fold.vision.patch_len();
        let mut data = Vec::with_capacity(pages.len() * most * patch_len);
        let mut keep = Vec::new();
        for (i, page) in patches.iter().enumerate() {
            data.extend_from_slice(&page.data);
            data.resize((i + 1) * most * patch_len, 0.0);
            keep.extend((0..page.slots).map(|s| (i * most + s) as i32));
        }
        let padded = keep.len() < pages.len() * most;
        let n = pages.len();
        let patches = Tensor::from_data(TensorData::new(data, [n, most, patch_len]), &self.device);
        let lengths = PageLengths {
            slots: most,
            lengths: slots.clone(),
        };
        let visual = self.model.visual_tokens(patches, &Arc::new(lengths));
        let total = keep.len();
        let keep = Tensor::<B, 1, Int>::from_data(TensorData::new(keep, [total]), &self.device);
        Ok((if padded { visual.select(0, keep) } else { visual }, slots))
    }
}
