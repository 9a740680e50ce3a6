//! Windows of documents, cut into chunks by the rules of folding and drawn as pages.

use super::batch::{Sample, SampleRequest};
use super::corpus::Corpus;
use super::draw::Drawer;
use super::rng::Rng;
use crate::{Error, Result};
use folio_engine::page::Tint;
use folio_engine::text::{Chunk, Detokenizer};
use std::sync::Arc;

/// Cuts samples from a corpus. Everything a sample holds is a function of corpus, seed and request.
#[derive(Debug, Clone)]
pub struct Windows {
    corpus: Arc<Corpus>,
    drawer: Drawer,
    seed: u64,
}

impl Windows {
    /// Windows over `corpus`, drawn by `drawer`.
    ///
    /// # Errors
    /// An empty corpus.
    pub fn new(corpus: Arc<Corpus>, drawer: Drawer, seed: u64) -> Result<Self> {
        if corpus.tokens() == 0 {
            return Err(Error::Argument("there is no text to take windows of".to_owned()));
        }
        Ok(Self { corpus, drawer, seed })
    }

    /// The corpus.
    pub fn corpus(&self) -> &Arc<Corpus> {
        &self.corpus
    }

    /// What draws the pages.
    pub(super) fn drawer(&self) -> &Drawer {
        &self.drawer
    }

    /// A window at a random place: documents by their length, starts evenly over the document.
    pub fn sample(&self, request: &SampleRequest) -> Sample {
        let mut rng = Rng::new(&[self.seed, request.index]);
        let document = self.corpus.document_of(rng.below(self.corpus.tokens() as u64) as usize);
        let length = self.corpus.range(document).len();
        let need = request.chunks.max(1) * self.chunk_tokens(request);
        let start = rng.below((length.saturating_sub(need) + 1) as u64) as usize;
        self.at(request, document, start)
    }

    /// The window that stands for the `slot` tokens from token `start` of the corpus on: of the document there, from its
    /// start where that is near enough, and with all that is asked for where the document has it.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn around(&self, request: &SampleRequest, start: usize, slot: usize) -> Sample {
        let document = self.corpus.document_of(start);
        let range = self.corpus.range(document);
        let need = (request.chunks.max(1) * self.chunk_tokens(request)).min(slot);
        let latest = range.len().saturating_sub(need);
        let from = if range.len() <= slot { 0 } else { start - range.start };
        self.at(request, document, from.min(latest))
    }

    /// The window of document `document` that begins at its token `start`, or at the next that begins a character.
    ///
    /// # Panics
    /// If the document has no such token.
    pub fn at(&self, request: &SampleRequest, document: usize, start: usize) -> Sample {
        let range = self.corpus.range(document);
        assert!(
            start < range.len(),
            "document {document} has {} tokens, {start} is none of them",
            range.len()
        );
        let torn = |&i: &usize| self.bytes(i).first().is_some_and(|byte| byte & 0xc0 == 0x80);
        let first = (range.start + start..range.end)
            .find(|i| !torn(i))
            .unwrap_or(range.start + start);
        let chunks = self.chunks(first..range.end, request);
        let mut utf8 = Detokenizer::default();
        let draw = |chunk| self.drawer.draw(chunk, &mut utf8, Tint::White);
        let chunks = chunks.into_iter().map(draw).collect();
        Sample {
            kind: request.kind,
            document,
            start: first - range.start,
            chunks,
        }
        .shaped(request.kind)
    }

    fn bytes(&self, i: usize) -> &[u8] {
        self.drawer.tokenizer().token_bytes(self.corpus.ids.get(i))
    }

    /// Tokens of a full chunk of `request`.
    fn chunk_tokens(&self, request: &SampleRequest) -> usize {
        let most = self.drawer.config().chunk_tokens;
        request.chunk_tokens.map_or(most, |tokens| tokens.clamp(1, most))
    }

    /// The ids in `range` of which a window's chunks are cut: as they are, or with their words in random order.
    fn ids(&self, range: std::ops::Range<usize>, request: &SampleRequest) -> Vec<u32> {
        let ids = range.map(|i| self.corpus.ids.get(i));
        if !request.shuffled {
            return ids.collect();
        }
        let need = request.chunks.max(1) * self.chunk_tokens(request);
        let mut rng = Rng::new(&[self.seed, SHUFFLE, request.index]);
        shuffled_words(ids.take(need), |id| self.drawer.tokenizer().token_bytes(id), &mut rng)
    }

    /// The first chunks of the ids in `range`; the last may be shorter where the document ends.
    fn chunks(&self, range: std::ops::Range<usize>, request: &SampleRequest) -> Vec<Chunk> {
        let count = request.chunks.max(1);
        let mut chunker = self.drawer.chunker(self.chunk_tokens(request));
        let mut chunks = Vec::with_capacity(count);
        // A token more than a full window: a page that is full early leaves room for the rest.
        let most = range.start.saturating_add(count * self.chunk_tokens(request) + 1);
        for id in self.ids(range.start..range.end.min(most), request) {
            chunker.step(id, self.drawer.tokenizer().token_bytes(id), |chunk| chunks.push(chunk));
            if chunks.len() >= count {
                break;
            }
        }
        if chunks.len() < count && !chunker.is_empty() {
            chunks.push(chunker.close());
        }
        chunks.truncate(count);
        chunks
    }
}

/// What the random order of a window's words is drawn for.
const SHUFFLE: u64 = u64::from_be_bytes(*b"\0shuffle");

/// `ids` with their words in random order. A word begins at a token whose text begins with a space or a line break.
fn shuffled_words<'b>(ids: impl Iterator<Item = u32>, bytes: impl Fn(u32) -> &'b [u8], rng: &mut Rng) -> Vec<u32> {
    let mut words: Vec<Vec<u32>> = Vec::new();
    for id in ids {
        let begins = bytes(id).first().is_none_or(|byte| byte.is_ascii_whitespace());
        match words.last_mut() {
            Some(word) if !begins => word.push(id),
            _ => words.push(vec![id]),
        }
    }
    for last in (1..words.len()).rev() {
        words.swap(last, rng.below(last as u64 + 1) as usize);
    }
    words.concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::corpus::{Ids, tests::tokenizer};
    use super::*;
    use folio_engine::config::preset;
    use folio_engine::page::{FontStack, Patches};

    const WORDS: &str =
        "the raven sat by the river, and the river ran on to the sea \u{2014} caf\u{e9}s, na\u{ef}ve.\n";

    fn windows(texts: &[String], seed: u64) -> Windows {
        let config = preset("folio-nano").unwrap().fold.unwrap();
        let (tokenizer, _) = tokenizer(&WORDS.repeat(20), 290);
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        for text in texts {
            ids.extend(tokenizer.encode(text).unwrap().iter().map(|&id| id as u16));
            ids.push(1);
            ends.push(ids.len() as u64);
        }
        let corpus = Arc::new(Corpus {
            ids: Ids::U16(ids),
            ends,
        });
        Windows::new(corpus, Drawer::new(tokenizer, &config, FontStack::embedded()), seed).unwrap()
    }

    fn request(index: u64, chunks: usize) -> SampleRequest {
        SampleRequest {
            index,
            chunks,
            ..SampleRequest::default()
        }
    }

    #[test]
    fn a_sample_is_a_function_of_seed_and_index() {
        let texts = [WORDS.repeat(40), WORDS.repeat(10)];
        let (one, other) = (windows(&texts, 7), windows(&texts, 7));
        // In any order, from any instance: this is what resuming relies on.
        let forward: Vec<_> = (0..20).map(|i| one.sample(&request(i, 3))).collect();
        let backward: Vec<_> = (0..20).rev().map(|i| other.sample(&request(i, 3))).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
        assert_ne!(windows(&texts, 8).sample(&request(0, 3)).start, forward[0].start);
        let mut starts: Vec<_> = forward.iter().map(|s| (s.document, s.start)).collect();
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 15, "{starts:?}");
    }

    #[test]
    fn chunks_are_as_short_as_asked_for_and_never_longer_than_k() {
        let windows = windows(&[WORDS.repeat(60)], 3);
        for (asked, expected) in [(1, 1), (7, 7), (128, 128), (500, 128)] {
            let short = SampleRequest {
                chunk_tokens: Some(asked),
                ..request(5, 4)
            };
            let lengths: Vec<usize> = windows.sample(&short).chunks.iter().map(|c| c.ids.len()).collect();
            assert_eq!(lengths, [expected; 4]);
        }
    }

    #[test]
    fn shuffled_windows_hold_the_same_words_in_another_order() {
        let windows = windows(&[WORDS.repeat(60)], 3);
        let plain = SampleRequest {
            chunk_tokens: Some(40),
            ..request(5, 3)
        };
        let mixed = SampleRequest {
            shuffled: true,
            ..plain
        };
        let ids = |request| -> Vec<u32> {
            windows
                .sample(request)
                .chunks
                .iter()
                .flat_map(|c| c.ids.clone())
                .collect()
        };
        let (before, after) = (ids(&plain), ids(&mixed));
        assert_ne!(before, after);
        assert_eq!(after, ids(&mixed), "the order is a function of seed and index");
        let words = |ids: &[u32]| {
            let text = windows.drawer.tokenizer().decode(ids);
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        assert_eq!(before.len(), after.len());
        // The window's first word may be the rest of one, and then stands behind another without a space.
        let (a, b) = (words(&before), words(&after));
        let same = a.iter().filter(|word| b.contains(word)).count();
        assert!(same + 4 >= a.len(), "{a:?} {b:?}");
    }

    #[test]
    fn documents_come_by_their_length() {
        let windows = windows(&[WORDS.repeat(60), WORDS.repeat(20)], 1);
        let second = (0..400)
            .filter(|&i| windows.sample(&request(i, 1)).document == 1)
            .count();
        assert!(
            (60..140).contains(&second),
            "{second} of 400 from a quarter of the text"
        );
    }

    #[test]
    fn chunks_are_consecutive_full_and_drawn() {
        let windows = windows(&[WORDS.repeat(60)], 3);
        for index in 0..30 {
            let sample = windows.sample(&request(index, 4));
            assert_eq!(sample.chunks.len(), 4);
            let ids: Vec<u32> = sample.chunks.iter().flat_map(|c| c.ids.clone()).collect();
            let expected: Vec<u32> = (sample.start..sample.start + ids.len())
                .map(|i| windows.corpus.ids.get(i))
                .collect();
            assert_eq!(ids, expected);
            let text: String = sample.chunks.iter().map(|c| c.text.as_str()).collect();
            assert!(
                windows.drawer.tokenizer().decode(&ids).starts_with(&text),
                "pages show other text"
            );
            for chunk in &sample.chunks {
                assert!(chunk.ids.len() <= 128 && !chunk.ids.is_empty());
                assert_eq!(
                    chunk.pages.len(),
                    chunk.slots * windows.drawer.config().vision.patch_len()
                );
                assert_eq!(
                    chunk.cells.len(),
                    chunk.slots * windows.drawer.config().vision.patch_width / 8
                );
                let tokens: Vec<u32> = chunk.patch_tokens.concat();
                assert!(tokens.iter().all(|id| chunk.ids.contains(id)) && tokens.len() + 2 >= chunk.ids.len());
            }
        }
    }

    #[test]
    fn bytes_are_the_encoders_patches() {
        let windows = windows(&[WORDS.repeat(30)], 3);
        let sample = windows.sample(&request(0, 1));
        let page = windows.drawer.renderer().render(&sample.chunks[0].text, Tint::White);
        let expected = Patches::new(&page, windows.drawer.config());
        let found: Vec<f32> = sample.chunks[0]
            .pages
            .iter()
            .map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5)
            .collect();
        assert_eq!((sample.chunks[0].slots, found), (expected.slots, expected.data));
    }

    #[test]
    fn short_documents_give_what_they_have() {
        let windows = windows(&["\u{e9}".to_owned()], 3);
        for index in 0..10 {
            let sample = windows.sample(&request(index, 5));
            assert_eq!((sample.chunks.len(), sample.start), (1, 0));
        }
        // A start inside a character moves to the next whole one (here: the end token).
        if windows.corpus.tokens() == 3 {
            assert_eq!(windows.at(&request(0, 1), 0, 1).start, 2);
        }
    }

    #[test]
    fn a_full_page_closes_a_chunk_before_k_tokens() {
        let mut windows = windows(&[WORDS.repeat(60)], 3);
        let mut config = windows.drawer.config().clone();
        (config.vision.image_width, config.vision.image_height) = (320, 32);
        config.vision.patch_width = 160;
        windows.drawer = Drawer::new(windows.drawer.tokenizer().clone(), &config, FontStack::embedded());
        let sample = windows.sample(&request(0, 3));
        assert!(
            sample
                .chunks
                .iter()
                .all(|c| c.ids.len() < 128 && c.text.chars().count() <= 80 && c.slots <= 4)
        );
    }
}
