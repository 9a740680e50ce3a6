//! Session files: small JSON from which a session is restored bit for bit by replaying its journal.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ops::{self, Op};
use super::{ContextMode, Sampling, Session, Settings, StopMatcher};
use crate::checkpoint::AtomicFile;
use crate::config::Config;
use crate::page::FontStack;
use crate::runner::Runner;
use crate::text::Tokenizer;
use crate::{Error, Result};

const FORMAT: &str = "folio-session";
/// Of files in whose text nothing was read again, which every version of folio reads.
const VERSION: u64 = 1;
/// Of others.
const VERSION_UNFOLD: u64 = 2;
/// A session of a million tokens takes 8 MB; nothing larger is ours.
const LARGEST: u64 = 256 << 20;

/// A session as its file holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedSession {
    format: String,
    version: u64,
    model: String,
    fonts: String,
    context: ContextMode,
    sampling: Sampling,
    stop: Vec<String>,
    ignore_eos: bool,
    /// Pages that are read again for every chunk.
    #[serde(default, skip_serializing_if = "is_zero")]
    unfold: usize,
    rng_position: u64,
    /// Whether all text was shown at the cut, withheld text included.
    shown: bool,
    /// Whether the text ended because the context was full.
    full: bool,
    ops: Vec<Op>,
    tokens: Vec<u32>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Session {
    /// The session as it stands, for a file. `model` and `fonts` identify what it was made with.
    ///
    /// # Errors
    /// [`Error::Argument`] while given text is still waiting to be read.
    pub fn save(&self, model: &str, fonts: &str) -> Result<SavedSession> {
        if self.unread_parts() {
            return Err(Error::Argument(
                "the session cannot be saved before its earlier text was read".into(),
            ));
        }
        let mut ops = self.driver.ops.clone();
        let mut tokens = self.driver.tokens.clone();
        if self.full {
            tokens.truncate(self.driver.cursor);
        } else {
            // Broken off while the prompt was being read: the rest of the plan goes on after restoring.
            self.queue.iter().for_each(|op| ops::record(&mut ops, op.clone()));
            // A token that was shown and could not be run yet is not part of the context.
            tokens.truncate(ops.iter().filter_map(Op::tokens).sum());
        }
        let unfolds = self.settings.unfold > 0 || ops.iter().any(|op| matches!(op, Op::Unfold { .. }));
        Ok(SavedSession {
            format: FORMAT.into(),
            version: if unfolds { VERSION_UNFOLD } else { VERSION },
            model: model.into(),
            fonts: fonts.into(),
            context: self.driver.mode,
            sampling: self.settings.sampling.clone(),
            stop: self.settings.stop.clone(),
            ignore_eos: self.settings.ignore_eos,
            unfold: self.settings.unfold,
            rng_position: self.sampler.position(),
            shown: self.stop.all_shown(),
            full: self.full,
            ops,
            tokens,
        })
    }
}

impl SavedSession {
    /// Reads a file; `model` and `fonts` are those that it will be restored with.
    ///
    /// # Errors
    /// No session file, one of a newer folio, of another model or of other fonts; a value out of range.
    pub fn read(path: &Path, model: &str, fonts: &str) -> Result<Self> {
        let place = path.display().to_string();
        let size = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
        if size > LARGEST {
            let what = format!("{size} bytes is too large for a session file");
            return Err(Error::invalid(place, what));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::from_json(&bytes, &place, model, fonts)
    }

    /// As [`Self::read`], from a file's content; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_json(bytes: &[u8], place: &str, model: &str, fonts: &str) -> Result<Self> {
        let bad = |what: String| Error::invalid(place, what);
        let not_ours = |e: serde_json::Error| bad(format!("damaged or not a session file of folio ({e})"));
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(not_ours)?;
        if value["format"] != FORMAT {
            return Err(bad("not a session file of folio".into()));
        }
        match value["version"].as_u64() {
            Some(VERSION | VERSION_UNFOLD) => {}
            Some(v) if v > VERSION_UNFOLD => {
                return Err(bad(format!(
                    "session format {v} was written by a newer folio; this one reads formats up to {VERSION_UNFOLD}"
                )));
            }
            _ => return Err(bad("damaged: no valid format version".into())),
        }
        // Parsed from the bytes again so that the error names line and column.
        let saved: Self = serde_json::from_slice(bytes).map_err(not_ours)?;
        if saved.model != model {
            return Err(bad(
                "this session was made with another model: open it with the model that wrote it".into(),
            ));
        }
        if saved.fonts != fonts {
            return Err(bad(
                "this session was made with another font: draw with the font that wrote it".into(),
            ));
        }
        saved.sampling.validate().map_err(|e| bad(format!("damaged: {e}")))?;
        Ok(saved)
    }

    /// The settings in force when it was saved, with `max_new_tokens` given anew.
    pub fn settings(&self, max_new_tokens: usize) -> Settings {
        Settings {
            sampling: self.sampling.clone(),
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            max_new_tokens,
            unfold: self.unfold,
        }
    }

    /// The context mode, which a restored session keeps.
    pub fn context(&self) -> ContextMode {
        self.context
    }

    /// Whether a model of this configuration can have written it.
    ///
    /// # Errors
    /// It cannot: the file is damaged.
    pub fn check(&self, config: &Config, tokenizer: &Tokenizer) -> Result<()> {
        if self.context == ContextMode::Folded && config.fold.is_none() {
            let what = "damaged: it folds, and this model cannot";
            return Err(Error::invalid("session file", what));
        }
        ops::check(&self.ops, &self.tokens, self.context, config, tokenizer)
            .map_err(|what| Error::invalid("session file", format!("damaged: {what}")))
    }

    /// Puts the session on `runner`: the replay happens as its first events are pulled.
    ///
    /// # Errors
    /// A journal that this model cannot have written; settings out of range.
    pub fn restore(
        self,
        runner: Box<dyn Runner>,
        tokenizer: Arc<Tokenizer>,
        fonts: FontStack,
        settings: Settings,
    ) -> Result<Session> {
        self.check(runner.config(), &tokenizer)?;
        let saved = Settings {
            unfold: settings.unfold,
            ..self.settings(settings.max_new_tokens)
        };
        let mut session = Session::blank(runner, tokenizer, fonts, self.context, saved)?;
        session.sampler.seek(self.rng_position);
        session.sampler.set(settings.sampling.clone())?;
        session.replay(self.tokens, self.ops);
        session.full = self.full;
        if self.shown {
            session.stop.mark_shown();
        }
        if settings.stop != session.settings.stop {
            session.stop = StopMatcher::new(&settings.stop);
        }
        session.settings = settings;
        Ok(session)
    }

    /// The file's content.
    ///
    /// # Errors
    /// None that a session can have; what the encoder says.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json =
            serde_json::to_vec(self).map_err(|e| Error::invalid("session file", format!("cannot be encoded: {e}")))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.write(&self.to_json()?)?;
        file.commit()
    }
}
