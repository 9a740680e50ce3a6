//! Prompts and pages to measure with.

use anyhow::{Context, Result};
use folio_engine::config::{Config, FoldConfig};
use folio_engine::page::{FontStack, PageImage, PageRenderer, Tint};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random ids and pages. The tokens say nothing, as the weights do not; the pages are *full*, so that every chunk costs
/// its whole β and the measured ratio is K/β: real text leaves part of a page blank and costs less.
pub struct Material {
    random: ChaCha8Rng,
    vocab: u32,
    fold: FoldConfig,
    renderer: PageRenderer,
}

impl Material {
    /// Material for a model that can fold; the same at every run.
    ///
    /// # Errors
    /// A text-only model.
    pub fn new(config: &Config) -> Result<Self> {
        let fold = config.fold.clone().context("this preset cannot fold")?;
        let renderer = PageRenderer::new(&fold, FontStack::default());
        let vocab = u32::try_from(config.text.vocab_size).context("the vocabulary is too large")?;
        Ok(Self {
            random: ChaCha8Rng::seed_from_u64(1),
            vocab,
            fold,
            renderer,
        })
    }

    /// `n` random token ids.
    pub fn ids(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.random.random_range(0..self.vocab)).collect()
    }

    /// Draws the page of a chunk of `tokens` tokens, full in the proportion that the chunk is.
    pub fn page(&mut self, tokens: usize) -> PageImage {
        let (columns, rows) = self.fold.cell_grid();
        let cells = (columns * rows * tokens).div_ceil(self.fold.chunk_tokens).max(1);
        let text = self.words(cells);
        self.renderer.render(&text, Tint::White)
    }

    /// Words of 1 to 9 random letters, `cells` characters in all.
    fn words(&mut self, cells: usize) -> String {
        let mut text = String::with_capacity(cells);
        let mut left = 0;
        while text.len() < cells {
            if left == 0 && !text.is_empty() && text.len() + 1 < cells {
                text.push(' ');
            }
            if left == 0 {
                left = self.random.random_range(1..10);
            }
            text.push(char::from(self.random.random_range(b'a'..=b'z')));
            left -= 1;
        }
        text
    }
}

/// Lengths of the chunks of a prompt of `tokens` tokens, and the tail that stays raw: a tail folds when it is longer
/// than β (spec section 3).
pub fn chunks(tokens: usize, fold: &FoldConfig) -> (Vec<usize>, usize) {
    let mut chunks = vec![fold.chunk_tokens; tokens / fold.chunk_tokens];
    let tail = tokens % fold.chunk_tokens;
    if tail > fold.visual_tokens {
        chunks.push(tail);
        return (chunks, 0);
    }
    (chunks, tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio_engine::config::preset;
    use folio_engine::page::Patches;

    fn nano() -> Config {
        preset("folio-nano").expect("a preset")
    }

    #[test]
    fn a_page_of_a_whole_chunk_takes_every_visual_token() {
        let config = nano();
        let fold = config.fold.clone().expect("it folds");
        let page = Material::new(&config).expect("it folds").page(fold.chunk_tokens);
        assert_eq!(Patches::new(&page, &fold).slots, fold.visual_tokens);
    }

    #[test]
    fn words_have_the_length_asked_for_and_end_in_ink() {
        let mut material = Material::new(&nano()).expect("it folds");
        for cells in [1, 2, 3, 50, 640] {
            let text = material.words(cells);
            assert_eq!(text.len(), cells);
            assert!(!text.ends_with(' '), "{text:?}");
        }
    }

    #[test]
    fn a_tail_folds_only_when_it_is_longer_than_its_page() {
        let fold = nano().fold.expect("it folds");
        let (k, beta) = (fold.chunk_tokens, fold.visual_tokens);
        assert_eq!(chunks(2 * k + beta, &fold), (vec![k, k], beta));
        assert_eq!(chunks(2 * k + beta + 1, &fold), (vec![k, k, beta + 1], 0));
        assert_eq!(chunks(0, &fold), (vec![], 0));
    }
}
