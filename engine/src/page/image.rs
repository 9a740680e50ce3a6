//! Drawing a page.
use super::FontStack;
use crate::config::FoldConfig;

/// Background of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tint {
    /// White: plain text and the model's own.
    #[default]
    White,
    /// Light grey: pages of user and system turns.
    Grey,
}

/// An 8-bit grey page image, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageImage {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width` grey values, black ink on the background.
    pub pixels: Vec<u8>,
    /// The background's grey value.
    pub background: u8,
}

/// Draws text as pages: same text, same config, same fonts, same bytes.
#[derive(Debug, Clone)]
pub struct PageRenderer {
    _config: FoldConfig,
    _fonts: FontStack,
}

impl PageRenderer {
    /// A renderer for a model's pages.
    pub fn new(config: &FoldConfig, fonts: FontStack) -> Self {
        Self { _config: config.clone(), _fonts: fonts }
    }

    /// Draws one page. `text` must fit (see `Typesetter`).
    pub fn render(&self, _text: &str, _tint: Tint) -> PageImage {
        unimplemented!()
    }
}
