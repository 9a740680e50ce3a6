//! Chunks and when they close (spec section 3).

use super::Detokenizer;
use crate::page::{Cursor, Typesetter};

/// A closed chunk: its tokens and the text that its page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// The chunk's token ids.
    pub ids: Vec<u32>,
    /// The page's text: complete characters only; incomplete bytes moved to the next chunk's page.
    pub text: String,
}

/// Gathers tokens until a chunk closes.
///
/// Its state depends on nothing but the tokens pushed and the calls to [`Self::close`]. All page texts in order are
/// all tokens' bytes read as UTF-8 (invalid bytes as U+FFFD), and every page's text fits its page.
#[derive(Debug, Clone)]
pub struct Chunker {
    typesetter: Typesetter,
    chunk_tokens: usize,
    ids: Vec<u32>,
    text: String,
    cursor: Cursor,
    utf8: Detokenizer,
    /// Text behind a full page: it starts the next one. Only a token longer than a page leaves any.
    spill: String,
}

impl Chunker {
    /// A chunker that closes at `chunk_tokens` tokens or when the page is full.
    pub fn new(typesetter: Typesetter, chunk_tokens: usize) -> Self {
        let cursor = typesetter.start();
        let (ids, text, spill) = (Vec::with_capacity(chunk_tokens), String::new(), String::new());
        Self {
            typesetter,
            chunk_tokens,
            ids,
            text,
            cursor,
            utf8: Detokenizer::default(),
            spill,
        }
    }

    /// Whether a token with these bytes may still join the open chunk. If not, close it first.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        if self.ids.is_empty() {
            return true;
        }
        if self.ids.len() >= self.chunk_tokens {
            return false;
        }
        let (mut utf8, mut cursor, mut fits) = (self.utf8, self.cursor, true);
        utf8.feed(bytes, |text| {
            fits = fits && self.spill.is_empty() && self.typesetter.advance(&mut cursor, text) == text.len();
        });
        fits
    }

    /// Adds a token; `true` when the chunk has reached K tokens and must close.
    ///
    /// An empty chunk takes any token (a token longer than a whole page spills onto the next ones). Special tokens
    /// have no bytes: they count as tokens and draw nothing.
    pub fn push(&mut self, id: u32, bytes: &[u8]) -> bool {
        self.ids.push(id);
        let Self {
            typesetter,
            text,
            cursor,
            utf8,
            spill,
            ..
        } = self;
        utf8.feed(bytes, |new| set(typesetter, text, cursor, spill, new));
        self.ids.len() >= self.chunk_tokens
    }

    /// Tokens in the open chunk.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the open chunk has no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// K: tokens of a full chunk.
    pub fn chunk_tokens(&self) -> usize {
        self.chunk_tokens
    }

    /// Token ids of the open chunk.
    pub fn open_ids(&self) -> &[u32] {
        &self.ids
    }

    /// What the open chunk's page would show if it closed now.
    pub fn open_text(&self) -> &str {
        &self.text
    }

    /// Bytes of an incomplete character that would move to the next page.
    pub fn carry(&self) -> &[u8] {
        self.utf8.pending()
    }

    /// Text of an over-long token that would move to the next page.
    pub fn spill(&self) -> &str {
        &self.spill
    }

    /// Closes the open chunk and starts the next.
    pub fn close(&mut self) -> Chunk {
        let chunk = Chunk {
            ids: std::mem::take(&mut self.ids),
            text: std::mem::take(&mut self.text),
        };
        self.ids.reserve(self.chunk_tokens);
        self.cursor = self.typesetter.start();
        let spill = std::mem::take(&mut self.spill);
        set(
            &self.typesetter,
            &mut self.text,
            &mut self.cursor,
            &mut self.spill,
            &spill,
        );
        chunk
    }

    /// Ends the text: closes the open chunk and draws what would have moved to a next page, the incomplete bytes as
    /// U+FFFD, at its end or on pages of their own, whose chunks have no tokens.
    ///
    /// Gives nothing for a chunk without tokens and text. The chunker is then as new.
    pub fn finish(&mut self) -> Vec<Chunk> {
        let rest = self.utf8.finish();
        set(
            &self.typesetter,
            &mut self.text,
            &mut self.cursor,
            &mut self.spill,
            &rest,
        );
        let mut chunks = Vec::new();
        while !self.ids.is_empty() || !self.text.is_empty() {
            chunks.push(self.close());
        }
        chunks
    }

    /// Adds one token, closing the open chunk before it or after it as needed: for text that is known beforehand.
    pub fn step(&mut self, id: u32, bytes: &[u8], mut closed: impl FnMut(Chunk)) {
        if !self.fits(bytes) {
            closed(self.close());
        }
        if self.push(id, bytes) {
            closed(self.close());
        }
    }
}

/// Sets text behind what the page holds; from the first character that does not fit, it goes to `spill`.
fn set(typesetter: &Typesetter, page: &mut String, cursor: &mut Cursor, spill: &mut String, new: &str) {
    let fitting = if spill.is_empty() {
        typesetter.advance(cursor, new)
    } else {
        0
    };
    let (now, later) = new.split_at(fitting);
    page.push_str(now);
    spill.push_str(later);
}

/// Pushes all `tokens` (id and bytes) and gives the chunks that closed; the last, unfinished one stays open.
pub fn chunk_all<'b>(chunker: &mut Chunker, tokens: impl IntoIterator<Item = (u32, &'b [u8])>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (id, bytes) in tokens {
        chunker.step(id, bytes, |chunk| chunks.push(chunk));
    }
    chunks
}
