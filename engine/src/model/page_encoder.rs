//! The controls that make visual tokens of a chunk's token embeddings, without an image (spec section 6, d and e).

use super::cat::cat;
use super::fused::Fused;
use super::vist2::Vist2;
use crate::config::PageEncoder;
use burn::module::{Module, Param};
use burn::tensor::{FloatDType, Int, Tensor, TensorData, activation, backend::Backend};

/// `page_encoder`: the convolutions of `conv_pyramid`.
#[derive(Module, Debug)]
pub struct ConvPyramid<B: Backend> {
    /// Kernel 4, stride 2, causal; GELU between them.
    pub conv: Vec<Conv<B>>,
}

/// A causal convolution of kernel 4 and stride 2 over tokens: output `j` reads tokens `2j − 2` to `2j + 1`.
#[derive(Module, Debug)]
pub struct Conv<B: Backend> {
    /// `[out, in, 4]`.
    pub weight: Param<Tensor<B, 3>>,
    /// `[out]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Conv<B> {
    /// `[pages, n, in]`, `n` even, to `[pages, n / 2, out]`.
    fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [pages, n, width] = x.dims();
        let pairs = x.reshape([pages, n / 2, 2 * width]);
        let zeros = Tensor::zeros([pages, 1, 2 * width], &pairs.device());
        let before = cat(vec![zeros, pairs.clone().narrow(1, 0, n / 2 - 1)], 1);
        let taps = cat(vec![before, pairs], 2).reshape([pages * (n / 2), 4 * width]);
        let weight = self.weight.val();
        let out = weight.dims()[0];
        let weight = weight.swap_dims(1, 2).reshape([out, 4 * width]);
        let y = taps.matmul(weight.transpose()) + self.bias.val().unsqueeze();
        y.reshape([pages, n / 2, out])
    }
}

/// The tokens of `n` that stand for visual token `t` of `slots`: equal consecutive shares, at least one token each.
fn share(t: usize, slots: usize, n: usize) -> std::ops::Range<usize> {
    let start = (t * n / slots).min(n.saturating_sub(1));
    start..((t + 1) * n / slots).clamp(start + 1, n.max(start + 1))
}

impl<B: Fused> Vist2<B> {
    /// Visual tokens of chunks whose token ids are `ids`: `slots` of each, padded to `most`, `[pages × most, d_text]`.
    ///
    /// # Panics
    /// On a model that reads pages by sight, and on a chunk without tokens.
    pub fn pooled_tokens(&self, ids: &[Vec<u32>], slots: &[usize], most: usize, device: &B::Device) -> Tensor<B, 2> {
        let kind = self.config.fold.as_ref().map(|fold| fold.page_encoder);
        assert!(ids.iter().all(|ids| !ids.is_empty()), "a page without tokens");
        let pages = ids.len();
        let n = ids.iter().map(Vec::len).max().unwrap_or(0).next_multiple_of(4);
        let d = self.config.text.hidden_size;
        // Padding embeds id 0 and is taken out again: convolutions see zeros there.
        let padded = |ids: &Vec<u32>| {
            (0..n)
                .map(|i| ids.get(i).map_or(0, |&id| id as i32))
                .collect::<Vec<_>>()
        };
        let flat: Vec<i32> = ids.iter().flat_map(padded).collect();
        let there: Vec<f32> = ids
            .iter()
            .flat_map(|ids| (0..n).map(|i| f32::from(u8::from(i < ids.len()))))
            .collect();
        let flat = Tensor::<B, 1, Int>::from_data(TensorData::new(flat, [pages * n]), device);
        let there = Tensor::<B, 2>::from_data(TensorData::new(there, [pages * n, 1]), device);
        // A table of 16 bits gives rows of 16 bits.
        let x = self
            .language_model
            .model
            .embed_tokens
            .forward(flat)
            .cast(FloatDType::F32)
            * there;
        let x = x.reshape([pages, n, d]);
        match (kind, &self.page_encoder, &self.aligner) {
            (Some(PageEncoder::MeanPool), ..) => select(x, most, |page, t| {
                let share = share(t, slots[page], ids[page].len());
                (t < slots[page]).then_some((share.clone(), 1.0 / share.len() as f32))
            }),
            (Some(PageEncoder::ConvPyramid), Some(pyramid), Some(aligner)) => {
                let last = pyramid.conv.len() - 1;
                let x = pyramid.conv.iter().enumerate().fold(x, |x, (i, conv)| {
                    let y = conv.forward(x);
                    if i < last { activation::gelu(y) } else { y }
                });
                let x = select(x, most, |page, t| {
                    // The output that has read to the end of the share.
                    let at = (share(t, slots[page], ids[page].len()).end - 1) / 4;
                    (t < slots[page]).then_some((at..at + 1, 1.0))
                });
                aligner.forward(x)
            }
            _ => panic!("this model reads pages by sight"),
        }
    }
}

/// Row `t` of each page as the weighted sum of the rows of `x`, `[pages, n, d]`, that `of` names; `[pages × most, d]`.
fn select<B: Backend>(
    x: Tensor<B, 3>,
    most: usize,
    of: impl Fn(usize, usize) -> Option<(std::ops::Range<usize>, f32)>,
) -> Tensor<B, 2> {
    let [pages, n, d] = x.dims();
    let mut weights = vec![0f32; pages * most * n];
    for page in 0..pages {
        for t in 0..most {
            if let Some((rows, weight)) = of(page, t) {
                let start = (page * most + t) * n;
                weights[start + rows.start..start + rows.end].fill(weight);
            }
        }
    }
    let weights = Tensor::<B, 3>::from_data(TensorData::new(weights, [pages, most, n]), &x.device());
    weights.matmul(x).reshape([pages * most, d])
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_consecutive_and_never_empty() {
        for (slots, n) in [(32, 128), (28, 128), (5, 3), (1, 7), (3, 3), (4, 1)] {
            let shares: Vec<_> = (0..slots).map(|t| share(t, slots, n)).collect();
            assert!(
                shares.iter().all(|s| !s.is_empty() && s.end <= n),
                "{slots} {n}: {shares:?}"
            );
            assert_eq!((shares[0].start, shares[slots - 1].end), (0, n));
            if slots <= n {
                assert!(shares.windows(2).all(|s| s[0].end == s[1].start), "{shares:?}");
            }
        }
        assert!(
            (0..32).all(|t| share(t, 32, 128) == (4 * t..4 * t + 4)),
            "K / β tokens each"
        );
    }
}
