//! Keys asked for when the pages that seem to be wanted are read again as text (`--unfold`).

use super::probes::{KEY, folds, key_document};
use super::reader::Reader;
use super::report::Unfolded;
use super::texts::Texts;
use super::{Options, Watch};
use crate::Result;
use folio_engine::Wait;
use folio_engine::session::{in_common, most_asked, reread};
use std::ops::Range;

/// What says which pages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The question's own attention, as in `folio --unfold` where no page shares words with it.
    Attention,
    /// The newest pages: what a window of text would hold.
    Recency,
    /// Runs of three tokens that the question has in common with the page, as in `folio --unfold`.
    Words,
}

impl By {
    const ALL: [Self; 3] = [Self::Attention, Self::Recency, Self::Words];

    fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Recency => "newest pages",
            Self::Words => "words in common",
        }
    }

    /// How much each of `pages` of `ids`, whose end is `question`, is wanted.
    fn asked(
        self,
        reader: &mut Reader,
        ids: &[u32],
        pages: &[Range<usize>],
        question: Range<usize>,
    ) -> Result<Vec<f64>> {
        Ok(match self {
            Self::Attention => reader.runner()?.pages_asked().wait()?,
            Self::Recency => (0..pages.len()).map(|i| i as f64).collect(),
            Self::Words => in_common(ids, pages, question),
        })
    }
}

/// The documents of `needles`. Before the answer is written, `options.unfold` pages are read again, chosen in several ways.
pub(super) fn unfolded(
    reader: &mut Reader,
    texts: &Texts,
    options: &Options,
    watch: &Watch<'_>,
) -> Result<Vec<Unfolded>> {
    let mut all = Vec::new();
    if options.unfold == 0 {
        return Ok(all);
    }
    let counts = folds(options.folds);
    let total = By::ALL.len() * counts.len() * options.probes;
    for by in By::ALL {
        for &folds in &counts {
            let mut sum = Unfolded::new(by.name(), options.unfold, folds);
            for i in 0..options.probes {
                watch.at("asking for keys, unfolding", all.len() * options.probes + i, total)?;
                probe(reader, texts, folds * 1000 + i, by, &mut sum)?;
            }
            sum.share(KEY);
            all.push(sum);
        }
    }
    reader.runner()?.watch_pages(false)?;
    all.retain(|sum| sum.keys > 0);
    Ok(all)
}

fn probe(reader: &mut Reader, texts: &Texts, index: usize, by: By, sum: &mut Unfolded) -> Result<()> {
    let key = texts.letters(index, KEY);
    let document = key_document(reader, texts, index, &key, sum.folds)?;
    let Some(pages) = document.get(..sum.folds) else {
        return Ok(());
    };
    reader.start()?;
    reader.runner()?.watch_pages(by == By::Attention)?;
    for chunk in pages {
        reader.take(chunk)?;
    }
    let question = reader.tokenizer.encode("\nThe key is")?;
    reader.read(&question)?;
    // The question is the prompt's tail, and becomes what a session makes of it.
    let mut ids: Vec<u32> = pages.iter().flat_map(|page| &page.ids).copied().collect();
    let mut at: Vec<Range<usize>> = Vec::new();
    for page in pages {
        let start = at.last().map_or(0, |before| before.end);
        at.push(start..start + page.ids.len());
    }
    ids.extend(&question);
    let asked = by.asked(reader, &ids, &at, ids.len() - question.len()..ids.len())?;
    let chosen = most_asked(&asked, sum.pages);
    match reader.chunks(&question).first() {
        Some(tail) if reader.fold.folds_tail(question.len()) => reader.close(tail)?,
        _ => reader.keep(&question)?,
    }
    let stretches = reread(
        &at,
        &chosen,
        ids.len(),
        reader.fold.visual_tokens.max(reader.fold.reread_tokens),
    );
    let again: Vec<u32> = stretches.into_iter().flat_map(|at| &ids[at]).copied().collect();
    reader.unfold(&again)?;
    let answer = reader.answer(KEY)?;
    sum.keys += 1;
    let home = pages.iter().position(|page| page.text.contains(&key));
    sum.found += f64::from(u8::from(home.is_some_and(|home| chosen.contains(&home))));
    sum.exact += f64::from(u8::from(answer.starts_with(&key)));
    sum.characters += answer.chars().zip(key.chars()).filter(|(a, b)| a == b).count() as f64;
    Ok(())
}
