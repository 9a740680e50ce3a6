//! Fonts: the embedded one, the user's, and the fallback chain.
/// An ordered list of fonts; the first that has a glyph draws it.
#[derive(Debug, Clone, Default)]
pub struct FontStack {}
