//! What a trained model is worth (spec section 6): the figures of `folio-train eval`.
//!
//! Everything runs step by step on the CPU runner, the one that `folio` ships: what a finished chunk becomes is said by
//! [`ScoreMode`], and teacher-forced scores are the engine's own.

mod control;
mod distance;
mod nll;
mod probes;
mod reader;
mod report;
mod rouge;
mod table;
#[cfg(test)]
mod tests;
mod texts;
mod unfolded;

pub use control::ControlName;
pub use distance::{edit_distance, rouge_l};
pub use report::{Continuations, Control, Copy, Model, Needle, Nll, Paired, Reading, Report, Scores, Unfolded};
pub use table::markdown;
pub use texts::Texts;

use self::nll::scores;
use self::reader::Reader;
use crate::data::{Memory, Source};
use crate::model_folder::TokenizerFiles;
use crate::run_dir::RunDir;
use crate::{Error, Result};
use folio_engine::config::Config;
use folio_engine::model::load_cpu;
use folio_engine::page::FontStack;
use folio_engine::session::ScoreMode;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How much is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Documents to score and to continue.
    pub documents: usize,
    /// Tokens of each stretch.
    pub tokens: usize,
    /// Most stretches of each document that are scored, spread over it; the first is what all else is taken from.
    pub stretches: usize,
    /// Pages read back at each size, and of each kind of text.
    pub pages: usize,
    /// Needles and copies at each number of folds.
    pub probes: usize,
    /// Most folds between what is shown and what is asked for.
    pub folds: usize,
    /// Pages that are read again as text before a key is answered, in a table of its own; 0: none.
    pub unfold: usize,
    /// Seed of places, strings and keys.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            documents: 16,
            tokens: 768,
            stretches: 1,
            pages: 12,
            probes: 12,
            folds: 16,
            unfold: 0,
            seed: 1,
        }
    }
}

/// Who is told how it goes, and whether to stop.
pub struct Watch<'a> {
    /// What is being measured, units done, units in all.
    pub tell: &'a dyn Fn(&str, usize, usize),
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// Tells of progress.
    ///
    /// # Errors
    /// When it is to stop.
    pub(crate) fn at(&self, what: &str, done: usize, total: usize) -> Result<()> {
        (self.tell)(what, done, total);
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Argument("stopped: nothing was written".to_owned()));
        }
        Ok(())
    }
}

/// The folder with the weights that `path` names: a model folder, or a run's newest checkpoint.
///
/// # Errors
/// A folder that is neither.
pub fn model_dir(path: &Path) -> Result<PathBuf> {
    if path.join("config.json").is_file() {
        return Ok(path.to_owned());
    }
    let neither = || {
        Error::invalid(
            path.display().to_string(),
            "is neither a model folder nor a run with a checkpoint",
        )
    };
    if !path.is_dir() {
        return Err(neither());
    }
    RunDir::look(path).latest()?.map(|(dir, _)| dir).ok_or_else(neither)
}

/// Measures the model in `model` on the documents of `data`, and every control beside it.
///
/// # Errors
/// Models that cannot be read or cannot fold, controls whose chunks differ, texts that are too short; being stopped.
pub fn evaluate(
    model: &Path,
    controls: &[(PathBuf, ControlName)],
    data: &[Source],
    options: &Options,
    watch: &Watch<'_>,
) -> Result<Report> {
    let mut reader = open(model, ScoreMode::Folded, None, watch)?;
    let texts = Texts::read(data, &reader, options)?;
    let mut scored = Vec::new();
    let mut modes = vec![ScoreMode::Folded, ScoreMode::Full, ScoreMode::Window, ScoreMode::None];
    if reader.fold.reread_tokens > 0 {
        modes.push(ScoreMode::Reread);
    }
    for mode in modes {
        scored.push(scores(&mut reader, &texts, mode, false, watch)?);
    }
    let modes = Scores::of(&scored, reader.fold.chunk_tokens);
    let mut report = Report {
        model: Model::of(model, &reader),
        texts: texts.describe(),
        options: format!("{options:?}"),
        scores: modes,
        reading: probes::reading(&mut reader, &texts, options, watch)?,
        needle: probes::needles(&mut reader, &texts, options, watch)?,
        unfolded: unfolded::unfolded(&mut reader, &texts, options, watch)?,
        copy: probes::copies(&mut reader, &texts, options, watch)?,
        continuations: Some(rouge::continuations(&mut reader, &texts, watch)?),
        controls: Vec::new(),
    };
    let main = &scored[0];
    let method = |name: &str| (name.to_owned(), report.needle.clone(), report.copy.clone());
    let (name, needle, copy) = method("this model, folded");
    report.controls.push(Control::of(name, model, main, main, needle, copy));
    for (dir, name) in controls {
        let memory = name.memory().unwrap_or_default();
        let mode = match memory {
            Memory::Full => ScoreMode::Full,
            Memory::Window => ScoreMode::Window,
            Memory::None => ScoreMode::None,
            _ => ScoreMode::Folded,
        };
        // A window has the budget of the model that it is compared with.
        let budget = (mode == ScoreMode::Window).then_some(reader.fold.reread_tokens);
        let mut control = open(dir, mode, budget, watch)?;
        control.check_like(&reader, dir)?;
        let own = scores(&mut control, &texts, mode, memory == Memory::ShuffledPages, watch)?;
        control.mode = mode;
        let needle = probes::needles(&mut control, &texts, options, watch)?;
        let copy = probes::copies(&mut control, &texts, options, watch)?;
        report
            .controls
            .push(Control::of(name.to_string(), dir, &own, main, needle, copy));
    }
    Ok(report)
}

/// `reread`: in place of the model's own `reread_tokens`.
fn open(path: &Path, mode: ScoreMode, reread: Option<usize>, watch: &Watch<'_>) -> Result<Reader> {
    let dir = model_dir(path)?;
    watch.at(&format!("opening {}", dir.display()), 0, 1)?;
    let mut config = Config::load(&dir)?;
    if let (Some(fold), Some(tokens)) = (&mut config.fold, reread) {
        fold.reread_tokens = tokens.min(fold.chunk_tokens);
    }
    let Some(fold) = config.fold.clone() else {
        let what = "is text-only: only a model that folds can be measured";
        return Err(Error::invalid(dir.display().to_string(), what));
    };
    let tokenizer = TokenizerFiles::load(&dir)?.tokenizer;
    crate::recipe::check_tokenizer(&config, &tokenizer, &dir.display().to_string())?;
    let runner = load_cpu(&dir, &config, &mut |_| {})?;
    Ok(Reader::new(runner, tokenizer, fold, FontStack::embedded(), mode))
}
