//! Teacher-forced scores.

use super::Watch;
use super::reader::Reader;
use super::texts::Texts;
use crate::Result;
use folio_engine::session::{ScoreMode, score};

/// One document's scores.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// NLL of every token.
    pub(super) nll: Vec<f64>,
    /// Tokens of each finished chunk.
    pub(super) chunks: Vec<usize>,
}

impl Scored {
    /// `(offset inside its chunk, NLL)` of every token after the first chunk: those that memory can help.
    pub(super) fn after_first(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let mut ends: Vec<usize> = self
            .chunks
            .iter()
            .scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            })
            .collect();
        ends.insert(0, 0);
        let first = self.chunks.first().copied().unwrap_or(self.nll.len());
        self.nll.iter().enumerate().skip(first).map(move |(i, nll)| {
            let start = ends[ends.partition_point(|&end| end <= i) - 1];
            (i - start, *nll)
        })
    }

    /// Mean NLL after the first chunk; `None` where there is nothing after it.
    pub(super) fn mean_after_first(&self) -> Option<f64> {
        let (n, sum) = self
            .after_first()
            .fold((0usize, 0.0), |(n, sum), (_, nll)| (n + 1, sum + nll));
        (n > 0).then(|| sum / n as f64)
    }
}

/// Scores all documents in `mode`; `shuffled`: with the pages of another document in place of the own.
pub(super) fn scores(
    reader: &mut Reader,
    texts: &Texts,
    mode: ScoreMode,
    shuffled: bool,
    watch: &Watch<'_>,
) -> Result<Vec<Scored>> {
    let total = texts.documents.len();
    let name = format!("{mode:?}").to_lowercase();
    let mut scored = Vec::with_capacity(total);
    for (i, ids) in texts.documents.iter().enumerate() {
        watch.at(&format!("scoring {name}"), i, total)?;
        scored.push(if shuffled {
            with_pages_of(reader, ids, &texts.documents[(i + 1) % total])?
        } else {
            let (tokenizer, fonts) = (reader.tokenizer.clone(), reader.fonts.clone());
            let found = score(
                reader.runner()?,
                &tokenizer,
                fonts,
                ids,
                mode,
                &mut |_, _| Ok(()),
                &mut |_| {},
            )?;
            Scored {
                nll: found.token_nll,
                chunks: found.chunks,
            }
        });
    }
    Ok(scored)
}

/// Scores `ids` with the pages of `other` in place of its own.
fn with_pages_of(reader: &mut Reader, ids: &[u32], other: &[u32]) -> Result<Scored> {
    let (own, pages) = (reader.chunks(ids), reader.chunks(other));
    reader.mode = ScoreMode::Folded;
    reader.start()?;
    let mut nll = Vec::with_capacity(ids.len());
    let mut chunks: Vec<usize> = own.iter().map(|chunk| chunk.ids.len()).collect();
    for (i, chunk) in own.iter().enumerate() {
        nll.extend(reader.read(&chunk.ids)?.iter().map(|judged| judged.0));
        if i + 1 < own.len() {
            reader.close_with_page_of(&pages[i % pages.len()], &chunk.ids)?;
        }
    }
    // The rest stands open, as in the engine's scores.
    if own.last().is_some_and(|last| last.ids.len() < reader.fold.chunk_tokens) {
        chunks.pop();
    }
    Ok(Scored { nll, chunks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_start_of_the_own_chunk() {
        let scored = Scored {
            nll: (0..8).map(f64::from).collect(),
            chunks: vec![3, 2],
        };
        let found: Vec<(usize, f64)> = scored.after_first().collect();
        assert_eq!(found, [(0, 3.0), (1, 4.0), (0, 5.0), (1, 6.0), (2, 7.0)]);
        assert_eq!(scored.mean_after_first(), Some(5.0));
        let short = Scored {
            nll: vec![1.0, 2.0],
            chunks: Vec::new(),
        };
        assert_eq!(short.mean_after_first(), None);
    }
}
