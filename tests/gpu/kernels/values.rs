//! Random contents of buffers.

use folio_shaders::Weight;
use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The value of words that nobody has written, as a float −12345.
const POISON: u32 = 0xc640_e400;

/// A source of contents.
pub(super) struct Values(ChaCha8Rng);

impl Values {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// `n` floats from -1 to 1, as words. Never none at all: buffers have a word.
    pub(super) fn floats(&mut self, n: usize) -> Vec<u32> {
        (0..n.max(1))
            .map(|_| self.0.random_range(-1.0f32..1.0).to_bits())
            .collect()
    }

    /// `n` words below `end`.
    pub(super) fn words(&mut self, n: usize, end: u32) -> Vec<u32> {
        (0..n.max(1)).map(|_| self.0.random_range(0..end.max(1))).collect()
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }

    /// A matrix of `rows` rows of `inputs` values, and the word at which its scales begin.
    pub(super) fn matrix(&mut self, weight: Weight, rows: usize, inputs: usize) -> (Vec<u32>, u32) {
        let (n, blocks) = (rows * inputs, rows * inputs / 32);
        // Values from -1 to 1 in every type: sums stay where rounding is small against what activations resolve.
        let most = match weight {
            Weight::Q8_0 => 1.0 / 128.0,
            Weight::Q4_0 => 1.0 / 8.0,
            Weight::F32 | Weight::F16 | Weight::Bf16 => 1.0,
        };
        let pair = |values: &mut Self, most: f32| {
            let half = |v: &mut Self| u32::from(f16::from_f32(v.0.random_range(-most..most)).to_bits());
            half(values) | half(values) << 16
        };
        let mut words: Vec<u32> = match weight {
            Weight::F32 => return (self.floats(n), 0),
            Weight::F16 => {
                // Now and then as small as they get: below 2^-14 a half has no leading 1.
                let most = if self.below(4) == 0 { 1.0 / 8192.0 } else { most };
                return ((0..n / 2).map(|_| pair(self, most)).collect(), 0);
            }
            Weight::Bf16 => {
                let mut half = || u32::from(bf16::from_f32(self.0.random_range(-most..most)).to_bits());
                return ((0..n / 2).map(|_| half() | half() << 16).collect(), 0);
            }
            Weight::Q8_0 => (0..n / 4).map(|_| self.0.random()).collect(),
            Weight::Q4_0 => (0..n / 8).map(|_| self.0.random()).collect(),
        };
        let scales = words.len() as u32;
        words.extend((0..blocks.div_ceil(2)).map(|_| pair(self, most)));
        (words, scales)
    }
}

/// `n` words that nobody has written.
pub(super) fn poison(n: usize) -> Vec<u32> {
    vec![POISON; n.max(1)]
}
