//! All documents as token ids.

use super::cache;
use super::files::names;
use super::{Document, Source, pieces, read_documents};
use crate::{Error, Result};
use folio_engine::text::Tokenizer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Text is tokenised in pieces of this many bytes, which bounds the tokenizer's memory.
const PIECE: usize = 1 << 19;

/// Token ids in the smallest width that holds the vocabulary.
#[derive(Debug, Clone)]
pub enum Ids {
    /// Vocabularies of up to 65,536 ids.
    U16(Vec<u16>),
    /// Larger ones.
    U32(Vec<u32>),
    /// Either, in a cache file that the system maps into memory: read where it is needed, not held.
    Mapped(MappedIds),
}

/// Ids in a memory-mapped file.
#[derive(Debug, Clone)]
pub struct MappedIds {
    pub(super) file: Arc<memmap2::Mmap>,
    /// Where they begin in the file.
    pub(super) start: usize,
    /// How many they are.
    pub(super) len: usize,
    /// Bytes of one: 2 or 4.
    pub(super) width: usize,
}

impl MappedIds {
    fn get(&self, i: usize) -> u32 {
        let at = self.start + i * self.width;
        let bytes = &self.file[at..at + self.width];
        match bytes {
            &[a, b] => u16::from_le_bytes([a, b]).into(),
            _ => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        }
    }
}

impl PartialEq for Ids {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|i| self.get(i) == other.get(i))
    }
}

impl Eq for Ids {}

impl Ids {
    /// Room for ids below `vocab_size`.
    pub fn new(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 {
            Self::U16(Vec::new())
        } else {
            Self::U32(Vec::new())
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        match self {
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
            Self::Mapped(ids) => ids.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Id number `i`.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, i: usize) -> u32 {
        match self {
            Self::U16(ids) => ids[i].into(),
            Self::U32(ids) => ids[i],
            Self::Mapped(ids) => ids.get(i),
        }
    }

    fn extend(&mut self, new: &[u32]) {
        match self {
            // The vocabulary that chose the width bounds every id.
            Self::U16(ids) => ids.extend(new.iter().map(|&id| id as u16)),
            Self::U32(ids) => ids.extend_from_slice(new),
            Self::Mapped(_) => unreachable!("a mapped file is whole"),
        }
    }
}

/// Documents, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// The ids of all documents.
    pub ids: Ids,
    /// Where each document ends in `ids`.
    pub ends: Vec<u64>,
}

impl Corpus {
    /// Tokenises the documents of `sources`, ending each with `eos`, or takes what an earlier call left in `cache`.
    ///
    /// The cache is keyed by the contents of the tokenizer and of all files. `progress` is told of every tokenised
    /// document's bytes.
    ///
    /// # Errors
    /// Data that cannot be read or holds no text; a cache folder that cannot be written.
    pub fn open(
        sources: &[Source],
        tokenizer: &Tokenizer,
        tokenizer_json: &[u8],
        eos: Option<u32>,
        cache: Option<&Path>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self> {
        let file = match cache {
            Some(dir) => Some(dir.join(format!("{}.ids", cache::key(sources, tokenizer_json, eos)?))),
            None => None,
        };
        if let Some(corpus) = file.as_deref().and_then(cache::load) {
            return Ok(corpus);
        }
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let corpus = Self::build(sources, tokenizer, eos, workers, progress)?;
        let Some(file) = &file else { return Ok(corpus) };
        cache::store(file, &corpus)?;
        Ok(cache::load(file).unwrap_or(corpus))
    }

    /// Tokenises the documents of `sources` on `workers` threads.
    ///
    /// # Errors
    /// Data that cannot be read or holds no text.
    pub fn build(
        sources: &[Source],
        tokenizer: &Tokenizer,
        eos: Option<u32>,
        workers: usize,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Self> {
        let mut corpus = Self {
            ids: Ids::new(tokenizer.vocab_size()),
            ends: Vec::new(),
        };
        std::thread::scope(|scope| {
            // Bounded, so that reading never runs far ahead of tokenising.
            let (give, take) = sync_channel::<(usize, Document)>(2 * workers);
            let take = Arc::new(Mutex::new(take));
            let (done, finished) = channel();
            for _ in 0..workers {
                let (take, done) = (Arc::clone(&take), done.clone());
                scope.spawn(move || work(&take, &done, tokenizer));
            }
            drop((take, done));
            let reader = scope.spawn(move || read(sources, give));
            // Documents are finished out of order and joined in order.
            let (mut waiting, mut next) = (BTreeMap::new(), 0usize);
            for (number, ids) in finished {
                waiting.insert(number, ids);
                while let Some(ids) = waiting.remove(&next) {
                    let (bytes, mut ids): (usize, Vec<u32>) = ids?;
                    ids.extend(eos);
                    corpus.ids.extend(&ids);
                    corpus.ends.push(corpus.ids.len() as u64);
                    progress(bytes as u64);
                    next += 1;
                }
            }
            reader
                .join()
                .unwrap_or_else(|_| Err(Error::Argument("reading the data failed".to_owned())))
        })?;
        if corpus.ids.is_empty() {
            return Err(Error::invalid(names(sources), "hold no text: every document is empty"));
        }
        Ok(corpus)
    }

    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.ends.len()
    }

    /// Number of token ids.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The range of a document in `ids`.
    ///
    /// # Panics
    /// If there is no such document.
    pub fn range(&self, document: usize) -> std::ops::Range<usize> {
        let start = if document == 0 { 0 } else { self.ends[document - 1] };
        start as usize..self.ends[document] as usize
    }

    /// The document that id number `token` belongs to.
    pub fn document_of(&self, token: usize) -> usize {
        self.ends.partition_point(|&end| end <= token as u64)
    }
}

type Encoded = Result<(usize, Vec<u32>)>;

fn read(sources: &[Source], give: SyncSender<(usize, Document)>) -> Result<()> {
    let mut number = 0;
    read_documents(sources, &mut |document| {
        number += 1;
        give.send((number - 1, document))
            .map_err(|_| Error::Argument("tokenising stopped".to_owned()))
    })
}

fn work(take: &Mutex<Receiver<(usize, Document)>>, done: &Sender<(usize, Encoded)>, tokenizer: &Tokenizer) {
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, document)) = next else { return };
        let mut ids = Vec::with_capacity(document.text.len() / 3);
        let encoded = pieces(&document.text, PIECE).try_for_each(|piece| {
            ids.extend(tokenizer.encode(piece)?);
            Ok(())
        });
        let place = || format!("{}, line {}", document.path.display(), document.line);
        let result = encoded
            .map(|()| (document.text.len(), ids))
            .map_err(|e: Error| Error::invalid(place(), e.to_string()));
        if done.send((number, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::data::sources;
    use crate::tokenizer_train;

    /// A tokenizer trained on `text`, and its file.
    pub(crate) fn tokenizer(text: &str, vocab_size: usize) -> (Tokenizer, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, text).unwrap();
        let trained = tokenizer_train::train(&sources(&[path]).unwrap(), vocab_size, 1 << 20).unwrap();
        let json = trained.to_string(false).unwrap().into_bytes();
        (Tokenizer::from_bytes(&json, "tokenizer.json").unwrap(), json)
    }

    #[test]
    fn documents_keep_their_order_and_text_and_the_cache_gives_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let texts: Vec<String> = (0..40)
            .map(|i| format!("document {i} ").repeat(1 + (i * 7) % 50))
            .collect();
        let lines: Vec<String> = texts
            .iter()
            .map(|t| serde_json::json!({ "text": t }).to_string())
            .collect();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let sources = sources(std::slice::from_ref(&path)).unwrap();
        let (tokenizer, json) = tokenizer("document 1 document 2 document 3", 270);
        let seen = std::sync::atomic::AtomicU64::new(0);
        let count = |n| {
            seen.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        };
        let open = || Corpus::open(&sources, &tokenizer, &json, Some(1), Some(dir.path()), &count).unwrap();
        let corpus = open();
        assert_eq!(corpus.documents(), 40);
        for (document, text) in texts.iter().enumerate() {
            let range = corpus.range(document);
            assert_eq!(corpus.document_of(range.start), document);
            assert_eq!(corpus.document_of(range.end - 1), document);
            let ids: Vec<u32> = range.map(|i| corpus.ids.get(i)).collect();
            assert_eq!(ids.last(), Some(&1));
            assert_eq!(&tokenizer.decode(&ids), text);
        }
        let bytes: u64 = texts.iter().map(|t| t.len() as u64).sum();
        assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), bytes);
        assert_eq!(open(), corpus);
        assert_eq!(
            seen.load(std::sync::atomic::Ordering::Relaxed),
            bytes,
            "the cache was not used"
        );
        std::fs::write(&path, lines[..2].join("\n")).unwrap();
        assert_eq!(open().documents(), 2, "the cache outlived a change of the data");
    }

    #[test]
    fn files_without_text_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blank.txt");
        std::fs::write(&path, " \n").unwrap();
        let (tokenizer, _) = tokenizer("good", 258);
        let error = Corpus::build(&sources(&[path]).unwrap(), &tokenizer, None, 2, &|_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("blank.txt: hold no text"), "{error}");
    }

    #[test]
    fn bad_data_stops_tokenising_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "{\"text\": \"good\"}\n".repeat(100) + "bad").unwrap();
        let (tokenizer, _) = tokenizer("good", 258);
        let error = Corpus::build(&sources(&[path]).unwrap(), &tokenizer, None, 2, &|_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 101"), "{error}");
    }
}
