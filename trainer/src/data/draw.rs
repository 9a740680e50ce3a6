//! Chunks of text drawn as pages, with the labels of what they show.

use super::batch::{ChunkSample, Form};
use super::label::{Labels, labels};
use folio_engine::config::FoldConfig;
use folio_engine::page::{FontStack, PageImage, PageRenderer, Patches, Tint};
use folio_engine::text::{Chunk, Chunker, Detokenizer, Tokenizer};

/// Draws a model's chunks. Clones share the glyph cache.
#[derive(Debug, Clone)]
pub struct Drawer {
    tokenizer: Tokenizer,
    renderer: PageRenderer,
    config: FoldConfig,
}

impl Drawer {
    /// For a model that folds by `config`.
    pub fn new(tokenizer: Tokenizer, config: &FoldConfig, fonts: FontStack) -> Self {
        let renderer = PageRenderer::new(config, fonts);
        Self {
            tokenizer,
            renderer,
            config: config.clone(),
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What draws the pages.
    pub fn renderer(&self) -> &PageRenderer {
        &self.renderer
    }

    /// How the model folds.
    pub fn config(&self) -> &FoldConfig {
        &self.config
    }

    /// A chunker that closes at `chunk_tokens` tokens, at most the model's K.
    pub fn chunker(&self, chunk_tokens: usize) -> Chunker {
        let most = self.config.chunk_tokens;
        Chunker::new(self.renderer.typesetter().clone(), chunk_tokens.clamp(1, most))
    }

    /// Draws a chunk's page. `utf8` holds the incomplete character that the chunk before left, and afterwards the one
    /// that this chunk leaves.
    pub fn draw(&self, chunk: Chunk, utf8: &mut Detokenizer, tint: Tint) -> ChunkSample {
        let page = self.renderer.render(&chunk.text, tint);
        let slots = Patches::ink_slots(&page, &self.config);
        let tokens = chunk.ids.iter().map(|&id| (id, self.tokenizer.token_bytes(id)));
        let Labels { cells, patch_tokens } = labels(&self.config, slots, &chunk.text, tokens, utf8);
        let pages = patches(&page, &self.config, slots);
        ChunkSample {
            ids: chunk.ids,
            pages,
            slots,
            text: chunk.text,
            cells,
            patch_tokens,
            form: Form::Page,
            learn: true,
            given: 0,
        }
    }
}

/// The first `slots` patches of a page as grey bytes, each flattened as (channel, row, column).
fn patches(page: &PageImage, config: &FoldConfig, slots: usize) -> Vec<u8> {
    let vision = &config.vision;
    let columns = vision.patch_grid().0;
    let mut data = Vec::with_capacity(slots * vision.patch_len());
    for slot in 0..slots {
        let (left, top) = (
            slot % columns * vision.patch_width,
            slot / columns * vision.patch_height,
        );
        for _ in 0..vision.num_channels {
            for y in top..top + vision.patch_height {
                let at = y * page.width + left;
                data.extend_from_slice(&page.pixels[at..at + vision.patch_width]);
            }
        }
    }
    data
}
