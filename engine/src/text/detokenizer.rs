//! Token ids to text, as a stream that never splits a character.
/// Gathers token bytes and gives whole characters.
#[derive(Debug, Clone, Default)]
pub struct Detokenizer {}
impl Detokenizer {
    /// Adds a token's bytes; gives the text that is now complete (may be empty).
    pub fn push(&mut self, _bytes: &[u8]) -> String {
        unimplemented!()
    }
    /// The rest: incomplete bytes become U+FFFD.
    pub fn finish(&mut self) -> String {
        unimplemented!()
    }
}
