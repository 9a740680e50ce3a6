//! All pages of a batch in one tensor.

use super::{DocumentTokens, HIDDEN};
use burn::tensor::{Tensor, TensorData, backend::Backend};

pub(super) type Pages<B> = (Vec<Vec<usize>>, usize, Option<Tensor<B, 3>>, Option<Tensor<B, 4>>);

/// All pages of the batch in one tensor, padded to the longest: page index of each piece, slots, patches, key bias.
pub(super) fn pack_pages<B: Backend>(documents: &[DocumentTokens], patch_len: usize, device: &B::Device) -> Pages<B> {
    let all: Vec<&Vec<f32>> = documents
        .iter()
        .flat_map(|d| d.patches.iter())
        .filter(|p| !p.is_empty())
        .collect();
    let slots = all.iter().map(|p| p.len() / patch_len).max().unwrap_or(0);
    let mut next = 0;
    let mut index_of = |p: &Vec<f32>| {
        next += usize::from(!p.is_empty());
        next.saturating_sub(1)
    };
    let index = documents
        .iter()
        .map(|d| d.patches.iter().map(&mut index_of).collect())
        .collect();
    if all.is_empty() {
        return (index, 0, None, None);
    }
    let mut data = Vec::with_capacity(all.len() * slots * patch_len);
    let mut bias = Vec::with_capacity(all.len() * slots);
    for page in &all {
        data.extend_from_slice(page);
        data.resize(data.len() + slots * patch_len - page.len(), 0.0);
        let own = page.len() / patch_len;
        bias.extend((0..slots).map(|s| if s < own { 0.0 } else { HIDDEN }));
    }
    let padded = bias.contains(&HIDDEN);
    let patches = Tensor::from_data(TensorData::new(data, [all.len(), slots, patch_len]), device);
    let bias = padded.then(|| Tensor::from_data(TensorData::new(bias, [all.len(), 1, 1, slots]), device));
    (index, slots, Some(patches), bias)
}
