//! What is reported: `eval.json`.

use super::nll::{Scored, means_after_first};
use super::reader::Reader;
use crate::offsets::ByOffset;
use folio_engine::cost::parameters;
use serde::Serialize;
use std::path::Path;

/// Everything.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Which model.
    pub model: Model,
    /// Which texts, in words.
    pub texts: String,
    /// How much was measured, in words.
    pub options: String,
    /// Teacher-forced NLL.
    pub scores: Scores,
    /// Text read back from one page.
    pub reading: Vec<Reading>,
    /// Keys asked for after folds.
    pub needle: Vec<Needle>,
    /// Keys asked for when pages are read again before the answer; empty without `--unfold`.
    pub unfolded: Vec<Unfolded>,
    /// Text copied after folds.
    pub copy: Vec<Copy>,
    /// Greedy continuations against the text.
    pub continuations: Option<Continuations>,
    /// This model and the trained controls, side by side.
    pub controls: Vec<Control>,
}

/// A model in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Its folder's name.
    pub name: String,
    /// Parameters.
    pub parameters: u64,
    /// K.
    pub chunk_tokens: usize,
    /// β of a full page.
    pub visual_tokens: usize,
    /// Whether a page's visual tokens see the text that they replace.
    pub visual_sees_text: bool,
    /// Tokens at the end of a page that are read again in front of the next chunk.
    #[serde(skip_serializing_if = "none")]
    pub reread_tokens: usize,
}

impl Model {
    pub(super) fn of(path: &Path, reader: &Reader) -> Self {
        Self {
            name: name_of(path),
            parameters: reader
                .runner
                .as_ref()
                .map_or(0, |runner| parameters(runner.config()).total()),
            chunk_tokens: reader.fold.chunk_tokens,
            visual_tokens: reader.fold.visual_tokens,
            visual_sees_text: reader.fold.visual_sees_text,
            reread_tokens: reader.fold.reread_tokens,
        }
    }
}

fn none(tokens: &usize) -> bool {
    *tokens == 0
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Mean NLL of the tokens after the first chunk, in nats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nll {
    /// Over all those tokens.
    pub mean: Option<f64>,
    /// By offset inside the chunk: of offsets 0, 1, 2–3, 4–7, 8–15, …
    pub by_offset: Vec<Option<f64>>,
    /// Over all tokens, those of the first chunk too.
    pub all: Option<f64>,
}

impl Nll {
    pub(super) fn of(scored: &[Scored]) -> Self {
        let mut by = ByOffset::default();
        let after = || scored.iter().flat_map(Scored::after_first);
        after().for_each(|(offset, nll)| by.add(offset, nll));
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (n, sum) = values.fold((0usize, 0.0), |(n, sum), nll| (n + 1, sum + nll));
            (n > 0).then(|| sum / n as f64)
        };
        Self {
            mean: mean(&mut after().map(|(_, nll)| nll)),
            by_offset: by.means(),
            all: mean(&mut scored.iter().flat_map(|s| s.nll.iter().copied())),
        }
    }
}

/// Differences of two scores, document by document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Mean over documents, nats a token.
    pub mean: f64,
    /// Its standard error; `None` of a single document.
    pub standard_error: Option<f64>,
    /// Documents.
    pub documents: usize,
}

impl Paired {
    /// `a − b` of mean NLL after the first chunk, by document.
    pub(super) fn of(a: &[Scored], b: &[Scored]) -> Option<Self> {
        let pairs = means_after_first(a).into_iter().zip(means_after_first(b));
        let differences = pairs.filter_map(|(a, b)| Some(a? - b?));
        Self::of_differences(&differences.collect::<Vec<_>>())
    }

    fn of_differences(differences: &[f64]) -> Option<Self> {
        let n = differences.len();
        if n == 0 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / n as f64;
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        Some(Self {
            mean,
            standard_error: (n > 1).then(|| (squares / (n - 1) as f64 / n as f64).sqrt()),
            documents: n,
        })
    }
}

/// One model under four memories. It is only fairly judged in those that it was trained in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Tokens of a full chunk.
    pub chunk_tokens: usize,
    /// Finished chunks are folded.
    pub folded: Nll,
    /// Everything stays text.
    pub full: Nll,
    /// The newest slots, as many as folding holds.
    pub window: Nll,
    /// BOS and the open chunk.
    pub none: Nll,
    /// As `none`, behind what the model reads again after a fold, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread: Option<Nll>,
    /// `full − folded`, by document.
    pub full_less_folded: Option<Paired>,
    /// `window − folded`, by document.
    pub window_less_folded: Option<Paired>,
    /// `none − folded`, by document: what memory is worth.
    pub none_less_folded: Option<Paired>,
    /// `reread − folded`, by document: what pages are worth beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread_less_folded: Option<Paired>,
}

impl Scores {
    /// Of folded, full, window, none and, where there is one, reread, in this order.
    pub(super) fn of(scored: &[Vec<Scored>], chunk_tokens: usize) -> Self {
        let nll = |i: usize| Nll::of(scored.get(i).map_or(&[], Vec::as_slice));
        let less = |i: usize| Paired::of(scored.get(i)?, scored.first()?);
        Self {
            chunk_tokens,
            folded: nll(0),
            full: nll(1),
            window: nll(2),
            none: nll(3),
            reread: scored.get(4).map(|scored| Nll::of(scored)),
            full_less_folded: less(1),
            window_less_folded: less(2),
            none_less_folded: less(3),
            reread_less_folded: less(4),
        }
    }
}

/// Pages of one kind and size, read back greedily.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// `prose` or `random`.
    pub text: &'static str,
    /// Wanted tokens on a page: β times 1, 2, 4, …
    pub page_tokens: usize,
    /// Tokens there were for each visual token: the compression ratio.
    pub ratio: f64,
    /// Characters for each visual token.
    pub characters_per_slot: f64,
    /// Pages.
    pub pages: usize,
    /// Share of pages read without any error.
    pub exact: f64,
    /// Edit distance over characters, all pages together.
    pub character_error_rate: f64,
}

/// Keys of 12 letters, asked for after folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needle {
    /// Folds between the key's chunk (included) and the question.
    pub folds: usize,
    /// Keys.
    pub keys: usize,
    /// Share of keys given without any error.
    pub exact: f64,
    /// Share of characters right at their place.
    pub characters: f64,
}

/// Text continued from a cue that stood on a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Copy {
    /// Folds between the text's chunk (included) and the cue.
    pub folds: usize,
    /// Texts.
    pub texts: usize,
    /// Share of tokens after the cue that are the likeliest, each given those before it.
    pub accuracy: f64,
    /// The same when the text never was in the context: what memory is worth is the difference.
    pub accuracy_without: f64,
}

/// Keys of 12 letters, asked for after folds, with pages read again as text before the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unfolded {
    /// What says which pages.
    pub by: &'static str,
    /// Pages read again.
    pub pages: usize,
    /// Folds between the key's chunk (included) and the question.
    pub folds: usize,
    /// Keys.
    pub keys: usize,
    /// Share of keys whose page was among those that were read again.
    pub found: f64,
    /// Share of keys given without any error.
    pub exact: f64,
    /// Share of characters right at their place.
    pub characters: f64,
}

impl Unfolded {
    pub(super) fn new(by: &'static str, pages: usize, folds: usize) -> Self {
        Self {
            by,
            pages,
            folds,
            keys: 0,
            found: 0.0,
            exact: 0.0,
            characters: 0.0,
        }
    }

    /// Makes shares of sums over keys of `letters` letters.
    pub(super) fn share(&mut self, letters: usize) {
        let keys = self.keys.max(1) as f64;
        self.found /= keys;
        self.exact /= keys;
        self.characters /= keys * letters as f64;
    }
}

/// Greedy continuations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Continuations {
    /// Documents.
    pub documents: usize,
    /// Tokens that were read before.
    pub prompt_tokens: usize,
    /// Tokens written.
    pub tokens: usize,
    /// Mean ROUGE-L (F1 of words) against the text.
    pub rouge_l: f64,
    /// The same of another document's text: what any prose has in common.
    pub rouge_l_other: f64,
}

/// One trained model among those that are compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Control {
    /// What it is called.
    pub name: String,
    /// Its folder's name.
    pub folder: String,
    /// Teacher-forced NLL in its own memory.
    pub nll: Nll,
    /// Its NLL less this report's model, folded, by document.
    pub less_model: Option<Paired>,
    /// Keys asked for.
    pub needle: Vec<Needle>,
    /// Text copied.
    pub copy: Vec<Copy>,
}

impl Control {
    pub(super) fn of(
        name: String,
        dir: &Path,
        own: &[Scored],
        model: &[Scored],
        needle: Vec<Needle>,
        copy: Vec<Copy>,
    ) -> Self {
        Self {
            name,
            folder: name_of(dir),
            nll: Nll::of(own),
            less_model: Paired::of(own, model),
            needle,
            copy,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paired_differences_by_hand() {
        // 1, 2, 6: mean 3, variance (4 + 1 + 9) / 2 = 7, standard error √(7 / 3).
        let paired = Paired::of_differences(&[1.0, 2.0, 6.0]).unwrap();
        assert_eq!((paired.mean, paired.documents), (3.0, 3));
        assert!((paired.standard_error.unwrap() - (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Paired::of_differences(&[4.0]).unwrap().standard_error, None);
        assert_eq!(Paired::of_differences(&[]), None);
    }

    #[test]
    fn means_leave_the_first_chunk_out() {
        let scored = |document: usize, nll: &[f64]| Scored {
            document,
            nll: nll.to_vec(),
            chunks: vec![2],
        };
        let own = [scored(0, &[9.0, 9.0, 1.0, 2.0]), scored(1, &[9.0, 9.0, 3.0])];
        let nll = Nll::of(&own);
        assert_eq!((nll.mean, nll.all), (Some(2.0), Some(42.0 / 7.0)));
        assert_eq!(nll.by_offset, [Some(2.0), Some(2.0)]);
        let less = [scored(0, &[0.0, 0.0, 1.0, 1.0]), scored(1, &[0.0, 0.0, 1.0])];
        assert_eq!(Paired::of(&own, &less).unwrap().mean, (0.5 + 2.0) / 2.0);
    }
}
