//! Token bytes to text, as a stream that never splits a character.

/// Gathers token bytes and gives whole characters.
///
/// All text given, up to [`Self::finish`], is what `String::from_utf8_lossy` makes of all bytes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detokenizer {
    /// The start of a character that is still incomplete: a valid prefix, at most 3 bytes.
    buffer: [u8; 4],
    len: u8,
}

impl Detokenizer {
    /// Adds a token's bytes; gives the text that is now complete (may be empty).
    ///
    /// Invalid bytes become U+FFFD as soon as they are known to be invalid.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        self.feed(bytes, |s| text.push_str(s));
        text
    }

    /// The rest: incomplete bytes become U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(self.pending()).into_owned();
        self.len = 0;
        rest
    }

    /// The bytes of the character that is still incomplete (at most 3).
    pub fn pending(&self) -> &[u8] {
        &self.buffer[..usize::from(self.len)]
    }

    /// Like [`Self::push`], giving the text in pieces without allocating.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(&str)) {
        while self.len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            self.buffer[usize::from(self.len)] = byte;
            match std::str::from_utf8(&self.buffer[..usize::from(self.len) + 1]) {
                Ok(text) => {
                    out(text);
                    self.len = 0;
                    bytes = rest;
                }
                Err(e) if e.error_len().is_none() => {
                    self.len += 1;
                    bytes = rest;
                }
                // The prefix was valid, so `byte` is what broke it: the prefix is invalid, `byte` is read anew.
                Err(_) => {
                    out("\u{FFFD}");
                    self.len = 0;
                }
            }
        }
        while !bytes.is_empty() {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return out(text),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            if let Ok(text) = std::str::from_utf8(valid)
                && !text.is_empty()
            {
                out(text);
            }
            match error.error_len() {
                Some(n) => {
                    out("\u{FFFD}");
                    bytes = &rest[n..];
                }
                None => {
                    self.buffer[..rest.len()].copy_from_slice(rest);
                    self.len = rest.len() as u8;
                    return;
                }
            }
        }
    }
}
