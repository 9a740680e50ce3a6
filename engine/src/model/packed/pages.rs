//! All pages of a batch in one tensor.

use super::super::fused::PageLengths;
use super::DocumentTokens;
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Page index of each piece, slots of the pages, patches.
pub(super) type Pages<B> = (Vec<Vec<usize>>, PageLengths, Option<Tensor<B, 3>>);

/// All pages of the batch in one tensor, padded to the longest.
pub(super) fn pack_pages<B: Backend>(documents: &[DocumentTokens], patch_len: usize, device: &B::Device) -> Pages<B> {
    let all: Vec<&Vec<f32>> = documents
        .iter()
        .flat_map(|d| d.patches.iter())
        .filter(|p| !p.is_empty())
        .collect();
    let lengths: Vec<usize> = all.iter().map(|p| p.len() / patch_len).collect();
    let slots = lengths.iter().copied().max().unwrap_or(0);
    let mut next = 0;
    let mut index_of = |p: &Vec<f32>| {
        next += usize::from(!p.is_empty());
        next.saturating_sub(1)
    };
    let index = documents
        .iter()
        .map(|d| d.patches.iter().map(&mut index_of).collect())
        .collect();
    let mut data = Vec::with_capacity(all.len() * slots * patch_len);
    for page in &all {
        data.extend_from_slice(page);
        data.resize(data.len() + slots * patch_len - page.len(), 0.0);
    }
    let patches =
        (!all.is_empty()).then(|| Tensor::from_data(TensorData::new(data, [all.len(), slots, patch_len]), device));
    (index, PageLengths { slots, lengths }, patches)
}
