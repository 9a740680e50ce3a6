//! The texts that a model is measured on.

use super::Options;
use super::reader::Reader;
use crate::data::{Rng, Source, read_documents};
use crate::{Error, Result};

/// Bytes of text taken for each wanted token: more than enough of any tokenizer's.
const BYTES_PER_TOKEN: usize = 12;

/// One part in so many of a document, at either end, is left out by all stretches but the first: titles, contents, licences.
const ENDS: usize = 20;

/// Bytes that a stretch may begin later than asked for, at a sentence.
const TO_SENTENCE: usize = 2000;

/// Stretches of documents, as token ids.
#[derive(Debug, Clone)]
pub struct Texts {
    /// Each document's first stretch, of `tokens` tokens.
    pub(super) documents: Vec<Vec<u32>>,
    /// Further stretches, with their document's place in `documents`; the second of each document, then the third.
    more: Vec<(usize, Vec<u32>)>,
    /// Documents that there were.
    pub(super) read: usize,
    seed: u64,
}

impl Texts {
    /// Stretches from inside each of the first documents that are long enough: the first page of a book is no prose.
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
        let bytes = options.tokens.saturating_mul(BYTES_PER_TOKEN);
        let (mut documents, mut more, mut read) = (Vec::new(), Vec::new(), 0);
        let most = options.documents.max(1);
        read_documents(data, &mut |document| {
            read += 1;
            if documents.len() >= most {
                return Ok(());
            }
            let place = documents.len();
            for (n, start) in starts(document.text.len(), bytes, options.stretches).enumerate() {
                let mut ids = reader.tokenizer.encode(stretch(&document.text, start, bytes))?;
                if ids.len() < options.tokens {
                    // All else needs the first.
                    if n == 0 { break } else { continue }
                }
                ids.truncate(options.tokens);
                if n == 0 {
                    documents.push(ids);
                } else {
                    more.push((n, place, ids));
                }
            }
            Ok(())
        })?;
        more.sort_by_key(|&(n, place, _)| (n, place));
        if documents.is_empty() {
            return Err(Error::Argument(format!(
                "no document of --data is {} tokens long: lower --tokens",
                options.tokens
            )));
        }
        Ok(Self {
            documents,
            more: more.into_iter().map(|(_, place, ids)| (place, ids)).collect(),
            read,
            seed: options.seed,
        })
    }

    /// All that is scored: a document's place, and a stretch of it.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let first = self.documents.iter().map(Vec::as_slice).enumerate();
        first.chain(self.more.iter().map(|(place, ids)| (*place, ids.as_slice())))
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let tokens = self.documents.first().map_or(0, Vec::len);
        let (documents, read) = (self.documents.len(), self.read);
        let of = match self.more.len() {
            0 => String::new(),
            more => format!(" ({} stretches in all)", documents + more),
        };
        format!("{tokens} tokens from inside each of {documents} documents{of} ({read} in the files)")
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

/// Where at most `most` stretches of `bytes` bytes begin in a text of `length` bytes: at a third of it, and, as far as it has room for
/// them, others that do not overlap, at equal distances and not at the ends.
fn starts(length: usize, bytes: usize, most: usize) -> impl Iterator<Item = usize> {
    let end = length / ENDS;
    // Bytes that a stretch may begin at.
    let room = length.saturating_sub(bytes.saturating_add(2 * end));
    let most = most.min(room / bytes.saturating_add(TO_SENTENCE).max(1)).max(1);
    let third = length / 3;
    (0..most).map(move |i| match i {
        0 => third,
        _ => end + (third - end + i * room / most) % room,
    })
}

/// A stretch of at most `bytes` bytes of `text` from `start` on, from the start of a sentence where there is one.
fn stretch(text: &str, start: usize, bytes: usize) -> &str {
    let mut start = start.min(text.len().saturating_sub(bytes));
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if let (true, Some(at)) = (start > 0, text[start..].find(". "))
        && at < TO_SENTENCE
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
        let found = stretch(&text, text.len() / 3, 200);
        assert!(found.starts_with("A title.") || found.starts_with("Se"), "{found}");
        assert!(found.len() <= 200 && text.contains(found));
        assert_eq!(stretch("short", 1, 200), "short");
    }

    #[test]
    fn stretches_do_not_overlap() {
        assert_eq!(starts(9000, 300, 1).collect::<Vec<_>>(), [3000]);
        // No room for a second.
        assert_eq!(starts(2500, 300, 8).collect::<Vec<_>>(), [833]);
        assert_eq!(starts(0, 300, 8).collect::<Vec<_>>(), [0]);
        assert_eq!(starts(9000, usize::MAX, 8).collect::<Vec<_>>(), [3000]);
        for (length, most) in [(100_000, 4), (100_000, 7), (60_000, 1000), (1_000_003, 12)] {
            let mut found: Vec<usize> = starts(length, 300, most).collect();
            assert_eq!(found[0], length / 3);
            assert!(found.len() > 3 && found.len() <= most);
            found.sort_unstable();
            assert!(found[0] >= length / ENDS && found.last().unwrap() + 300 <= length - length / ENDS);
            assert!(found.windows(2).all(|w| w[1] - w[0] >= 2300), "{found:?}");
        }
    }

    #[test]
    fn random_strings_are_what_they_say() {
        let texts = Texts {
            documents: vec![(0..100).collect()],
            more: Vec::new(),
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
