//! Documents from many shards, tokenised while the run goes on: what a corpus is too large for.
//!
//! Every sample has a place in an endless row of tokens: all shards in an order drawn anew each epoch, cut into slots of
//! one window each, the slots shuffled among some shards at a time. The place is a function of recipe and sample
//! number, so a run resumes at the exact sample and ranks share the row without overlap; a shard is tokenised when the
//! row comes near it, on a thread of its own, and kept as a memory-mapped file.

use super::batch::{Sample, SampleRequest};
use super::cache;
use super::corpus::Corpus;
use super::draw::Drawer;
use super::files::Source;
use super::pack::Windows;
use super::rng::permuted;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Shards among which slots are shuffled, and which are open at a time.
const GROUP: usize = 8;

/// Shards as one endless row of windows.
#[derive(Debug)]
pub struct Stream {
    shards: Arc<Shards>,
    seed: u64,
    /// Tokens of every shard of the row so far, by place in the row.
    counts: Mutex<Vec<u64>>,
    /// Asks for a shard ahead of time.
    ahead: Mutex<Sender<usize>>,
}

/// What opening a shard needs.
#[derive(Debug)]
struct Shards {
    sources: Vec<Source>,
    drawer: Drawer,
    tokenizer_json: Vec<u8>,
    eos: Option<u32>,
    cache: PathBuf,
    seed: u64,
    /// Tokenised in this process already; the lock makes others wait instead of doing it twice.
    ready: Vec<Mutex<Option<Windows>>>,
}

/// Which shards and slots a place belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// First shard of the group, by place in the row.
    first: usize,
    /// Shards of the group.
    shards: usize,
    /// Tokens of the group.
    tokens: u64,
    /// Tokens before the place in the group.
    offset: u64,
}

impl Stream {
    /// A row over `sources`; what is tokenised is kept in the folder `cache`.
    ///
    /// # Errors
    /// A first shard that cannot be read or holds no text.
    pub fn open(
        sources: &[Source],
        drawer: Drawer,
        tokenizer_json: &[u8],
        eos: Option<u32>,
        cache: &Path,
        seed: u64,
    ) -> Result<Self> {
        if sources.is_empty() {
            return Err(Error::Argument("a stream needs a data file".to_owned()));
        }
        let shards = Arc::new(Shards {
            sources: sources.to_vec(),
            drawer,
            tokenizer_json: tokenizer_json.to_vec(),
            eos,
            cache: cache.to_owned(),
            seed,
            ready: sources.iter().map(|_| Mutex::default()).collect(),
        });
        let (ask, asked) = channel::<usize>();
        let behind = Arc::clone(&shards);
        std::thread::spawn(move || {
            for shard in asked {
                // What is wrong with it is told when the row gets there.
                drop(behind.windows(shard));
            }
        });
        let stream = Self {
            shards,
            seed,
            counts: Mutex::default(),
            ahead: Mutex::new(ask),
        };
        stream.shards.windows(stream.shard(0))?;
        Ok(stream)
    }

    /// What draws the pages.
    pub(super) fn drawer(&self) -> &Drawer {
        &self.shards.drawer
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.sources.len()
    }

    /// The shard at `place` of the row.
    fn shard(&self, place: usize) -> usize {
        let n = self.shards() as u64;
        permuted(place as u64 % n, n, &[self.seed, SHARDS, place as u64 / n]) as usize
    }

    /// The sample at `request.position`, a window of `request.slot` tokens at most.
    ///
    /// # Errors
    /// A shard that cannot be read or holds no text.
    pub fn sample(&self, request: &SampleRequest) -> Result<Sample> {
        let slot = request.slot.max(1);
        let place = self.place(request.position)?;
        self.ask_ahead(place.first + place.shards);
        let slots = (place.tokens / slot).max(1);
        let number = (place.offset / slot).min(slots - 1);
        let key = [self.seed, SLOTS, place.first as u64, slot];
        let mut start = permuted(number, slots, &key) * slot;
        for at in place.first..place.first + place.shards {
            let windows = self.shards.windows(self.shard(at))?;
            let tokens = windows.corpus().tokens() as u64;
            if start < tokens {
                return Ok(windows.around(request, start as usize, slot as usize));
            }
            start -= tokens;
        }
        Err(Error::Argument("a shard has changed while the run went on".to_owned()))
    }

    /// The group that token `position` of the row lies in.
    fn place(&self, position: u64) -> Result<Place> {
        let (mut first, mut before) = (0, 0u64);
        loop {
            // The last group of an epoch may be smaller, so that no shard comes twice in a group.
            let shards = GROUP.min(self.shards() - first % self.shards());
            let tokens = (first..first + shards).map(|at| self.tokens(at)).sum::<Result<u64>>()?;
            if position < before + tokens {
                let offset = position - before;
                return Ok(Place {
                    first,
                    shards,
                    tokens,
                    offset,
                });
            }
            before += tokens;
            first += shards;
        }
    }

    /// Tokens of the shard at `place` of the row.
    fn tokens(&self, place: usize) -> Result<u64> {
        let known = |counts: &Vec<u64>| counts.get(place).copied();
        if let Some(tokens) = known(&self.counts.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(tokens);
        }
        let tokens = self.shards.windows(self.shard(place))?.corpus().tokens() as u64;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() == place {
            counts.push(tokens);
        }
        Ok(tokens)
    }

    /// Has the group that starts at `first` tokenised in the background.
    fn ask_ahead(&self, first: usize) {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        for place in first..first + GROUP.min(self.shards()) {
            let shard = self.shard(place);
            let busy_or_ready = self.shards.ready[shard]
                .try_lock()
                .map_or(true, |ready| ready.is_some());
            if !busy_or_ready {
                // The thread lives as long as the stream does.
                let _ = ahead.send(shard);
            }
        }
    }
}

/// What orders are drawn for.
const SHARDS: u64 = u64::from_be_bytes(*b"\0\0shards");
const SLOTS: u64 = u64::from_be_bytes(*b"\0\0\0slots");

impl Shards {
    /// One shard, tokenised now unless it was before.
    fn windows(&self, shard: usize) -> Result<Windows> {
        let mut ready = self.ready[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(windows) = &*ready {
            return Ok(windows.clone());
        }
        let source = &self.sources[shard];
        let key = cache::stamp(source, &self.tokenizer_json, self.eos)?;
        let file = self.cache.join(format!("{key}.ids"));
        let corpus = match cache::load(&file) {
            Some(corpus) => corpus,
            None => {
                static CORES: OnceLock<usize> = OnceLock::new();
                let cores = *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
                // Beside training, so not on all cores.
                let workers = (cores / 4).max(1);
                let tokenizer = self.drawer.tokenizer();
                let sources = std::slice::from_ref(source);
                let corpus = Corpus::build(sources, tokenizer, self.eos, workers, &|_| {}).map_err(|e| match e {
                    Error::Argument(what) => Error::invalid(source.path.display().to_string(), what),
                    other => other,
                })?;
                cache::store(&file, &corpus)?;
                // As a file of the system's, so that many shards do not add up in memory.
                cache::load(&file).unwrap_or(corpus)
            }
        };
        let windows = Windows::new(Arc::new(corpus), self.drawer.clone(), self.seed)?;
        *ready = Some(windows.clone());
        Ok(windows)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::files::sources;
    use super::super::tests_support::tokenizer;
    use super::*;
    use folio_engine::config::{FoldConfig, preset};
    use folio_engine::page::FontStack;
    use std::collections::HashSet;

    fn config() -> FoldConfig {
        let mut config = preset("folio-nano").unwrap().fold.unwrap();
        (config.chunk_tokens, config.visual_tokens) = (24, 6);
        config
    }

    /// 20 shards of 30 documents; every word is there once in all.
    fn shards(dir: &Path) -> usize {
        let mut words = 0;
        for shard in 0..20 {
            let mut lines = String::new();
            for document in 0..30 {
                let text: Vec<String> = (0..8 + (shard * 7 + document) % 60)
                    .map(|_| {
                        words += 1;
                        format!("w{words}")
                    })
                    .collect();
                lines += &format!("{}\n", serde_json::json!({ "text": text.join(" ") }));
            }
            std::fs::write(dir.join(format!("{shard:02}.jsonl")), lines).unwrap();
        }
        words
    }

    fn stream(dir: &Path, cache: &Path) -> Stream {
        let (tokenizer, json) = tokenizer("w1 w2 w3 w4 w5 w6 w7 w8 w9 w0", 300);
        let drawer = Drawer::new(tokenizer, &config(), FontStack::embedded());
        Stream::open(&sources(&[dir.to_owned()]).unwrap(), drawer, &json, Some(1), cache, 7).unwrap()
    }

    const SLOT: u64 = 48;

    fn request(number: u64) -> SampleRequest {
        SampleRequest {
            index: number,
            position: number * SLOT,
            slot: SLOT,
            chunks: 2,
            ..SampleRequest::default()
        }
    }

    fn epoch(stream: &Stream) -> u64 {
        (0..stream.shards()).map(|place| stream.tokens(place).unwrap()).sum()
    }

    #[test]
    fn an_epoch_shows_nearly_all_text_once_and_the_next_shows_it_in_another_order() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let words = shards(data.path());
        let stream = stream(data.path(), cache.path());
        let slots = epoch(&stream) / SLOT;
        let texts = |from: u64| -> Vec<String> {
            (from..from + slots)
                .map(|n| {
                    stream
                        .sample(&request(n))
                        .unwrap()
                        .chunks
                        .iter()
                        .map(|c| c.text.as_str())
                        .collect()
                })
                .collect()
        };
        let (first, second) = (texts(0), texts(slots + 3));
        let seen: HashSet<&str> = first.iter().flat_map(|t| t.split_whitespace()).collect();
        assert!(seen.len() > words * 6 / 10, "{} of {words} words", seen.len());
        let repeated = first.len() - first.iter().collect::<HashSet<_>>().len();
        assert!(
            repeated * 10 < first.len(),
            "{repeated} of {} windows come twice",
            first.len()
        );
        assert_ne!(first, second);
    }

    #[test]
    fn a_sample_depends_on_its_place_only() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        shards(data.path());
        let whole = stream(data.path(), cache.path());
        let forward: Vec<Sample> = (0..40).map(|n| whole.sample(&request(n * 5)).unwrap()).collect();
        // Another process, another order, with the cache and without.
        for cache in [cache.path(), tempfile::tempdir().unwrap().path()] {
            let other = stream(data.path(), cache);
            let backward: Vec<Sample> = (0..40).rev().map(|n| other.sample(&request(n * 5)).unwrap()).collect();
            assert!(forward.iter().eq(backward.iter().rev()));
        }
    }

    #[test]
    fn a_bad_shard_is_named_when_the_row_gets_there() {
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        shards(data.path());
        let stream = stream(data.path(), cache.path());
        let bad = stream.shard(GROUP + 1);
        // The first group is tokenised before the second is touched.
        stream.place(0).unwrap();
        std::fs::write(data.path().join(format!("{bad:02}.jsonl")), "{\"text\": 5}").unwrap();
        let first: u64 = (0..GROUP).map(|at| stream.tokens(at).unwrap()).sum();
        let error = (0..)
            .find_map(|n| stream.sample(&request(first / SLOT + n)).err())
            .unwrap()
            .to_string();
        assert!(error.contains(&format!("{bad:02}.jsonl, line 1")), "{error}");
    }
}
