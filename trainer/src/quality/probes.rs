//! What can be got back from pages: text read at once, keys and text asked for after folds.

use super::reader::Reader;
use super::report::{Copy, Needle, Reading};
use super::texts::Texts;
use super::{Options, Watch, edit_distance};
use crate::Result;
use folio_engine::text::Chunk;

/// Letters of a key.
pub(super) const KEY: usize = 12;
/// Tokens of a cue, and of what must follow it.
const CUE: (usize, usize) = (8, 32);

/// Pages of prose and of random strings read back greedily, as `ocr` training lays them out; β times 1, 2, 4, 8, 16
/// tokens on a page, as far as the model's chunks go.
///
/// A model that skips blank patches spends visual tokens as the text needs them, so that the ratio hardly changes with the
/// page's length; what it is on each kind of text is reported as measured.
pub(super) fn reading(
    reader: &mut Reader,
    texts: &Texts,
    options: &Options,
    watch: &Watch<'_>,
) -> Result<Vec<Reading>> {
    let (beta, most) = (reader.fold.visual_tokens, reader.fold.chunk_tokens);
    let sizes: Vec<usize> = [1, 2, 4, 8, 16]
        .iter()
        .map(|r| r * beta)
        .filter(|&n| n <= most)
        .collect();
    let total = 2 * sizes.len() * options.pages;
    let (mut found, mut done) = (Vec::new(), 0);
    for &page_tokens in &sizes {
        for text in ["prose", "random"] {
            let mut sum = Pages::default();
            for i in 0..options.pages {
                watch.at("reading pages", done, total)?;
                done += 1;
                let index = page_tokens * 1000 + i;
                let prose = texts.piece(index, page_tokens);
                let ids = if text == "prose" {
                    prose.to_vec()
                } else {
                    // As many characters as so many tokens of prose have, as far as a chunk can hold their tokens.
                    let characters = reader.tokenizer.decode(prose).chars().count();
                    reader.tokenizer.encode(&texts.random(index, characters))?
                };
                let Some(chunk) = reader.chunks(&ids).into_iter().next() else {
                    continue;
                };
                sum.add(reader, &chunk)?;
            }
            found.extend(sum.reading(text, page_tokens));
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Pages {
    pages: usize,
    exact: usize,
    errors: usize,
    characters: usize,
    tokens: usize,
    slots: usize,
}

impl Pages {
    fn add(&mut self, reader: &mut Reader, chunk: &Chunk) -> Result<()> {
        let wanted = chunk.text.chars().count();
        self.slots += reader.start_from_page(chunk)?;
        let tokenizer = reader.tokenizer.clone();
        let long = |ids: &[u32]| tokenizer.decode(ids).chars().count() >= wanted;
        // As long as the text: where it ends is not what is asked.
        let ids = reader.write(2 * reader.fold.chunk_tokens, &[], long)?;
        let read: String = tokenizer.decode(&ids).chars().take(wanted).collect();
        self.pages += 1;
        self.exact += usize::from(read == chunk.text);
        self.errors += edit_distance(&read, &chunk.text);
        self.characters += wanted;
        self.tokens += chunk.ids.len();
        Ok(())
    }

    fn reading(&self, text: &'static str, page_tokens: usize) -> Option<Reading> {
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        (self.pages > 0).then(|| Reading {
            text,
            page_tokens,
            ratio: share(self.tokens, self.slots),
            characters_per_slot: share(self.characters, self.slots),
            pages: self.pages,
            exact: share(self.exact, self.pages),
            character_error_rate: share(self.errors, self.characters),
        })
    }
}

/// 1, 2, 4, … folds, up to `most`.
pub(super) fn folds(most: usize) -> Vec<usize> {
    std::iter::successors(Some(1), |n| Some(2 * n))
        .take_while(|&n| n <= most)
        .collect()
}

/// A first chunk of prose with "The key is …." in its middle, then prose until so many chunks are finished, then "The key
/// is" in the open chunk.
pub(super) fn needles(reader: &mut Reader, texts: &Texts, options: &Options, watch: &Watch<'_>) -> Result<Vec<Needle>> {
    let counts = folds(options.folds);
    let total = counts.len() * options.probes;
    let question = reader.tokenizer.encode("\nThe key is")?;
    let mut found = Vec::new();
    for (at, &folds) in counts.iter().enumerate() {
        let (mut exact, mut right, mut keys) = (0, 0, 0);
        for i in 0..options.probes {
            watch.at("asking for keys", at * options.probes + i, total)?;
            let index = folds * 1000 + i;
            let key = texts.letters(index, KEY);
            let document = key_document(reader, texts, index, &key, folds)?;
            if document.len() < folds {
                continue;
            }
            reader.start()?;
            for chunk in &document[..folds] {
                reader.take(chunk)?;
            }
            reader.read(&question)?;
            let answer = reader.answer(KEY)?;
            keys += 1;
            exact += usize::from(answer.starts_with(&key));
            right += answer.chars().zip(key.chars()).filter(|(a, b)| a == b).count();
        }
        if keys > 0 {
            found.push(Needle {
                folds,
                keys,
                exact: exact as f64 / keys as f64,
                characters: right as f64 / (keys * KEY) as f64,
            });
        }
    }
    Ok(found)
}

/// The chunks of prose with a key in the first of them.
pub(super) fn key_document(
    reader: &Reader,
    texts: &Texts,
    index: usize,
    key: &str,
    folds: usize,
) -> Result<Vec<Chunk>> {
    let k = reader.fold.chunk_tokens;
    let prose = texts.piece(index, k);
    let statement = reader.tokenizer.encode(&format!("\nThe key is {key}.\n"))?;
    // In the middle, if there is room, so that the sentence is whole on its page.
    let before = (k / 2).min(k.saturating_sub(statement.len())).min(prose.len());
    let mut ids = prose[..before].to_vec();
    ids.extend(statement);
    ids.extend(&prose[before..]);
    let mut more = 0;
    while ids.len() < (folds + 1) * k {
        more += 1;
        ids.extend(texts.piece(index * 100 + more, k));
    }
    Ok(reader.chunks(&ids))
}

/// A chunk of prose, others after it until so many are finished, then the start of a stretch of the first as a cue in
/// the open chunk: how many tokens of what follows there are the likeliest?
pub(super) fn copies(reader: &mut Reader, texts: &Texts, options: &Options, watch: &Watch<'_>) -> Result<Vec<Copy>> {
    let counts = folds(options.folds);
    let (cue, after) = CUE;
    let k = reader.fold.chunk_tokens;
    let total = counts.len() * options.probes;
    let mut found = Vec::new();
    if k < cue + after {
        return Ok(found);
    }
    for (at, &folds) in counts.iter().enumerate() {
        let (mut with, mut without, mut n) = (0, 0, 0);
        for i in 0..options.probes {
            watch.at("asking for copies", at * options.probes + i, total)?;
            let index = folds * 1000 + 500 + i;
            let mut ids = texts.piece(index, k).to_vec();
            let start = (ids.len().saturating_sub(cue + after)) / 2;
            let Some(asked) = ids.get(start..start + cue + after).map(<[u32]>::to_vec) else {
                continue;
            };
            for more in 1..=folds {
                ids.extend(texts.piece(index * 100 + more, k));
            }
            let chunks = reader.chunks(&ids);
            let mut judge = |chunks: &[Chunk]| -> Result<usize> {
                reader.start()?;
                for chunk in chunks {
                    reader.take(chunk)?;
                }
                Ok(reader.read(&asked)?[cue..].iter().filter(|judged| judged.1).count())
            };
            let shown = &chunks[..folds.min(chunks.len())];
            with += judge(shown)?;
            without += judge(&shown[1..])?;
            n += after;
        }
        if n > 0 {
            found.push(Copy {
                folds,
                texts: n / after,
                accuracy: with as f64 / n as f64,
                accuracy_without: without as f64 / n as f64,
            });
        }
    }
    Ok(found)
}
