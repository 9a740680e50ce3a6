//! The texts that a model is measured on.

use super::Options;
use super::reader::Reader;
use crate::data::{Rng, Source, read_documents};
use crate::{Error, Result};

/// Bytes of text taken for each wanted token: more than enough of any tokenizer's.
const BYTES_PER_TOKEN: usize = 12;

/// Stretches of documents, as token ids.
#[derive(Debug, Clone)]
pub struct Texts {
    /// Each document's stretch, of `tokens` tokens.
    pub(super) documents: Vec<Vec<u32>>,
    /// Documents that there were.
    pub(super) read: usize,
    seed: u64,
}

impl Texts {
    /// A stretch from inside each of the first documents that are long enough: the first page of a book is no prose.
    ///
    /// # Errors
    /// Fewer tokens than two chunks; data that cannot be read, or holds no document that is long enough.
    pub fn read(data: &[Source], reader: &Reader, options: &Options) -> Result<Self> {
        // With one chunk or less there is nothing that memory could help, and no text to fill folds with.
        let least = 2 * reader.fold.chunk_tokens;
        if options.tokens < least {
            return Err(Error::Argument(format!(
                "--tokens {} is too short: the model's chunks have {} tokens, so at least {least} are needed",
                options.tokens, reader.fold.chunk_tokens
            )));
        }
        let (mut documents, mut read) = (Vec::new(), 0);
        let most = options.documents.max(1);
        read_documents(data, &mut |document| {
            read += 1;
            if documents.len() >= most {
                return Ok(());
            }
            let text = stretch(&document.text, options.tokens.saturating_mul(BYTES_PER_TOKEN));
            let mut ids = reader.tokenizer.encode(text)?;
            if ids.len() >= options.tokens {
                ids.truncate(options.tokens);
                documents.push(ids);
            }
            Ok(())
        })?;
        if documents.is_empty() {
            return Err(Error::Argument(format!(
                "no document of --data is {} tokens long: lower --tokens",
                options.tokens
            )));
        }
        Ok(Self {
            documents,
            read,
            seed: options.seed,
        })
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let tokens = self.documents.first().map_or(0, Vec::len);
        format!(
            "{tokens} tokens from inside each of {} documents ({} in the files)",
            self.documents.len(),
            self.read
        )
    }

    /// `n` tokens from some place of some document, by `index`; fewer where a document has no more.
    pub(super) fn piece(&self, index: usize, n: usize) -> &[u32] {
        let mut rng = Rng::new(&[self.seed, 0x0070_6965_6365, index as u64]);
        let document = &self.documents[rng.below(self.documents.len() as u64) as usize];
        let start = rng.below((document.len().saturating_sub(n) + 1) as u64) as usize;
        &document[start..document.len().min(start + n)]
    }

    /// `n` random lower-case letters, by `index`.
    pub(super) fn letters(&self, index: usize, n: usize) -> String {
        let mut rng = Rng::new(&[self.seed, 0x6c65_7474_6572, index as u64]);
        (0..n).map(|_| char::from(b'a' + rng.below(26) as u8)).collect()
    }

    /// Words of random lower-case letters, `n` characters in all, by `index`.
    pub(super) fn random(&self, index: usize, n: usize) -> String {
        let mut rng = Rng::new(&[self.seed, 0x7261_6e64_6f6d, index as u64]);
        let mut text = String::new();
        while text.len() < n {
            for _ in 0..3 + rng.below(7) {
                text.push(char::from(b'a' + rng.below(26) as u8));
            }
            text.push(' ');
        }
        text.truncate(n);
        text
    }
}

/// A stretch of at most `bytes` bytes from a third of `text` on, from the start of a sentence where there is one.
fn stretch(text: &str, bytes: usize) -> &str {
    let third = text.len() / 3;
    let latest = text.len().saturating_sub(bytes);
    let mut start = third.min(latest);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if let (true, Some(at)) = (start > 0, text[start..].find(". "))
        && at < 2000
    {
        start += at + 2;
    }
    let mut end = text.len().min(start.saturating_add(bytes));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_whole_and_from_inside() {
        let text = "A title. ".repeat(40) + &"Se\u{e9}n it was. ".repeat(100);
        let found = stretch(&text, 200);
        assert!(found.starts_with("A title.") || found.starts_with("Se"), "{found}");
        assert!(found.len() <= 200 && text.contains(found));
        assert_eq!(stretch("short", 200), "short");
    }

    #[test]
    fn random_strings_are_what_they_say() {
        let texts = Texts {
            documents: vec![(0..100).collect()],
            read: 1,
            seed: 4,
        };
        let text = texts.random(0, 57);
        assert_eq!(text.len(), 57);
        assert!(text.chars().all(|c| c == ' ' || c.is_ascii_lowercase()));
        assert_ne!(text, texts.random(1, 57));
        assert_eq!(texts.letters(3, 12), texts.letters(3, 12));
        assert_eq!(texts.letters(3, 12).len(), 12);
        let piece = texts.piece(5, 10);
        assert!(piece.windows(2).all(|w| w[1] == w[0] + 1) && piece.len() == 10);
        assert_eq!(texts.piece(5, 1000).len(), 100);
    }
}
