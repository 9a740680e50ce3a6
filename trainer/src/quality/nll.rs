//! Teacher-forced scores.

use super::Watch;
use super::reader::Reader;
use super::texts::Texts;
use crate::Result;
use folio_engine::session::{ScoreMode, score};

/// One stretch's scores.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// The document's place among those scored.
    pub(super) document: usize,
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
}

/// Mean NLL after the first chunk of each document, over all of its stretches, in the order of the documents; `None` where there is nothing after it.
pub(super) fn means_after_first(scored: &[Scored]) -> Vec<Option<f64>> {
    let documents = scored.iter().map(|s| s.document + 1).max().unwrap_or(0);
    let mut sums = vec![(0usize, 0.0); documents];
    for one in scored {
        let (n, sum) = &mut sums[one.document];
        for (_, nll) in one.after_first() {
            (*n, *sum) = (*n + 1, *sum + nll);
        }
    }
    sums.into_iter()
        .map(|(n, sum)| (n > 0).then(|| sum / n as f64))
        .collect()
}

/// Scores all stretches in `mode`; `shuffled`: with the pages of another stretch (of another document, where there is one) in place of the own.
pub(super) fn scores(
    reader: &mut Reader,
    texts: &Texts,
    mode: ScoreMode,
    shuffled: bool,
    watch: &Watch<'_>,
) -> Result<Vec<Scored>> {
    let stretches: Vec<(usize, &[u32])> = texts.stretches().collect();
    let total = stretches.len();
    let name = format!("{mode:?}").to_lowercase();
    let mut scored = Vec::with_capacity(total);
    for (i, &(document, ids)) in stretches.iter().enumerate() {
        watch.at(&format!("scoring {name}"), i, total)?;
        let (nll, chunks) = if shuffled {
            with_pages_of(reader, ids, stretches[(i + 1) % total].1)?
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
            (found.token_nll, found.chunks)
        };
        scored.push(Scored { document, nll, chunks });
    }
    Ok(scored)
}

/// Scores `ids` with the pages of `other` in place of its own: NLL of every token, tokens of each finished chunk.
fn with_pages_of(reader: &mut Reader, ids: &[u32], other: &[u32]) -> Result<(Vec<f64>, Vec<usize>)> {
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
    Ok((nll, chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_start_of_the_own_chunk() {
        let scored = Scored {
            document: 0,
            nll: (0..8).map(f64::from).collect(),
            chunks: vec![3, 2],
        };
        let found: Vec<(usize, f64)> = scored.after_first().collect();
        assert_eq!(found, [(0, 3.0), (1, 4.0), (0, 5.0), (1, 6.0), (2, 7.0)]);
        let short = Scored {
            document: 1,
            nll: vec![1.0, 2.0],
            chunks: Vec::new(),
        };
        // One more number of the first document's second stretch: a mean of six.
        let second = Scored {
            document: 0,
            nll: vec![9.0, 11.0],
            chunks: vec![1],
        };
        assert_eq!(means_after_first(&[scored, short, second]), [Some(6.0), None]);
    }
}
