//! Chat templates (Jinja, as in `tokenizer_config.json`).
/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// "system", "user" or "assistant".
    pub role: String,
    /// The text.
    pub content: String,
}
/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {}
