//! A checkpoint's `config.json` and the presets. Keys are Hugging Face's wherever one exists.

mod check;
mod fold;
mod gguf;
mod keys;
mod load;
mod presets;
mod save;
mod text;

pub use fold::{AlignerConfig, AlignerKind, FoldConfig, PageConfig, PageEncoder, VisionConfig};
pub use presets::{PRESETS, preset};
pub use text::{TextConfig, TextModelType};

/// Everything that shapes a model: the decoder, and, when it can fold, the vision side.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The decoder (`text_config`, or the whole file of a text-only model).
    pub text: TextConfig,
    /// Id that starts every document.
    pub bos_token_id: u32,
    /// Ids that end a text (one or several).
    pub eos_token_id: Vec<u32>,
    /// The vision side; `None` for a text-only model, which cannot fold.
    pub fold: Option<FoldConfig>,
}
