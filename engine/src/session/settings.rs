//! How a session writes.

use super::Sampling;

/// How a session writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Strings that end the text; they are not shown themselves.
    pub stop: Vec<String>,
    /// Never draw an end-of-text token.
    pub ignore_eos: bool,
    /// Most tokens to write; 0 only reads.
    pub max_new_tokens: usize,
    /// Pages that are read again as text for every chunk that is written; 0: none.
    pub unfold: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            stop: Vec::new(),
            ignore_eos: false,
            max_new_tokens: 256,
            unfold: 0,
        }
    }
}
