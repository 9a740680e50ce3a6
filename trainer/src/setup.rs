//! From a recipe to everything that a run needs before its first step; nothing here knows tensors.

use crate::data::{
    Captions, Chats, Corpus, DataKind, DataSet, DataSets, Drawer, Memory, Source, Special, Stream, Windows, sources,
};
use crate::files::write_whole;
use crate::model_folder::TokenizerFiles;
use crate::recipe::{Plan, Recipe, check_chunks, check_tokenizer};
use crate::run_dir::{RunDir, RunState};
use crate::team::{Alone, Team, meet};
use crate::{Error, Result};
use folio_engine::config::{Config, PRESETS, PageEncoder, preset};
use folio_engine::page::FontStack;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seed of the validation windows: the same ones in every run.
const VALID_SEED: u64 = u64::from_be_bytes(*b"\0\0\0valid");

/// Where the first weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Random, by the recipe's seed.
    Random,
    /// A model folder.
    Folder(PathBuf),
    /// A checkpoint of this run, with its training state.
    Resume(PathBuf),
}

/// A run, ready to start.
#[derive(Debug)]
pub struct Setup {
    /// The recipe.
    pub recipe: Recipe,
    /// Its steps.
    pub plan: Plan,
    /// The model's configuration; it can fold.
    pub config: Config,
    /// The tokenizer.
    pub tokenizer: TokenizerFiles,
    /// Where the weights come from.
    pub start: Start,
    /// Where the run stands.
    pub state: RunState,
    /// The run's folder.
    pub run: RunDir,
    /// The training data, set by set.
    pub train: DataSets,
    /// Validation windows.
    pub valid: Option<Windows>,
}

/// What is told while a run is made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparing<'a> {
    /// A remark worth a line.
    Note(&'a str),
    /// So many more bytes of text are tokenised.
    Tokenised(u64),
}

/// Reads a recipe and makes its run ready: model, tokenizer, folder, data. `out` overrides the recipe's.
///
/// # Errors
/// Whatever is wrong with any of them; nothing is trained on what does not fit.
pub fn prepare(path: &Path, out: Option<&Path>, resume: bool, tell: &(dyn Fn(Preparing<'_>) + Sync)) -> Result<Setup> {
    prepare_for(path, out, resume, &Alone, tell)
}

/// As [`prepare`], for one process of a team: process 0 first, which makes the folder and tokenises, then the others, which
/// only read.
///
/// # Errors
/// As [`prepare`]; another process is gone.
pub fn prepare_for(
    path: &Path,
    out: Option<&Path>,
    resume: bool,
    team: &dyn Team,
    tell: &(dyn Fn(Preparing<'_>) + Sync),
) -> Result<Setup> {
    if !team.writes() {
        meet(team)?;
    }
    let setup = prepare_one(path, out, resume || !team.writes(), team, tell)?;
    if team.writes() {
        meet(team)?;
    }
    Ok(setup)
}

/// Whether weights of one model are weights of the other: what is seen (`visual_sees_text`, `reread_tokens`) may change while a
/// model is trained.
pub(crate) fn same_weights(one: &Config, other: &Config) -> bool {
    let mut one = one.clone();
    if let (Some(one), Some(other)) = (&mut one.fold, &other.fold) {
        one.visual_sees_text = other.visual_sees_text;
        one.reread_tokens = other.reread_tokens;
    }
    one == *other
}

fn prepare_one(
    path: &Path,
    out: Option<&Path>,
    resume: bool,
    team: &dyn Team,
    tell: &(dyn Fn(Preparing<'_>) + Sync),
) -> Result<Setup> {
    let recipe = Recipe::load(path)?;
    let (mut config, folder) = model(&recipe.model, path)?;
    if let (Some(fold), Some(sees)) = (&mut config.fold, recipe.visual_sees_text) {
        fold.visual_sees_text = sees;
    }
    if let (Some(fold), Some(tokens)) = (&mut config.fold, recipe.reread_tokens) {
        fold.reread_tokens = tokens;
        config.validate(&path.display().to_string())?;
    }
    if let Some(fold) = &mut config.fold {
        match recipe.memory {
            Memory::MeanPool => fold.page_encoder = PageEncoder::MeanPool,
            Memory::ConvPyramid => fold.page_encoder = PageEncoder::ConvPyramid,
            _ => {}
        }
    }
    let Some(fold) = config.fold.clone() else {
        let what = format!(
            "model \"{}\" is text-only: training needs a config with vision_config",
            recipe.model
        );
        return Err(Error::invalid(path.display().to_string(), what));
    };
    check_chunks(&recipe, &config, &path.display().to_string())?;
    let tokenizer_path = recipe.tokenizer.clone().or_else(|| folder.clone()).ok_or_else(|| {
        Error::invalid(
            path.display().to_string(),
            "tokenizer is missing: name a folder with tokenizer.json",
        )
    })?;
    let tokenizer = TokenizerFiles::load(&tokenizer_path)?;
    check_tokenizer(&config, &tokenizer.tokenizer, &tokenizer_path.display().to_string())?;
    // The data is looked for before the run's folder is made.
    let sets = recipe.sets();
    let train: Vec<(DataKind, Vec<Source>)> = sets
        .iter()
        .map(|set| Ok((set.kind, sources(&set.files)?)))
        .collect::<Result<_>>()?;
    let valid = sources(&recipe.data.valid)?;
    let root = out.unwrap_or(&recipe.out);
    let run = if resume {
        RunDir::open(root)?
    } else {
        RunDir::create(root)?
    };
    let fresh = RunState {
        seed: recipe.seed,
        ..RunState::default()
    };
    let (start, state) = match run.latest()? {
        Some((checkpoint, state)) => (Start::Resume(checkpoint), state),
        None => (folder.map_or(Start::Random, Start::Folder), fresh),
    };
    if let Start::Resume(checkpoint) = &start {
        if state.seed != recipe.seed {
            let what = format!("seed is {}, the run's is {}", recipe.seed, state.seed);
            return Err(Error::invalid(path.display().to_string(), what));
        }
        if !same_weights(&Config::load(checkpoint)?, &config) {
            let what = format!("the model is not that of {}", checkpoint.display());
            return Err(Error::invalid(path.display().to_string(), what));
        }
        tell(Preparing::Note(&format!(
            "resuming after step {} from {}",
            state.step,
            checkpoint.display()
        )));
    } else if resume {
        tell(Preparing::Note(&format!(
            "{} holds no checkpoint yet: starting anew",
            root.display()
        )));
    }
    if team.writes() {
        keep_recipe(path, &run, &start, tell)?;
    }
    let cache = recipe.data.cache.clone().unwrap_or_else(|| root.join("cache"));
    let drawer = Drawer::new(tokenizer.tokenizer.clone(), &fold, FontStack::embedded());
    let corpus = |sources: &[Source]| open_corpus(sources, &tokenizer, &config, &cache, tell);
    let windows = |sources: &[Source], seed| Windows::new(Arc::new(corpus(sources)?), drawer.clone(), seed);
    let opened = Opening {
        config: &config,
        tokenizer: &tokenizer,
        drawer: &drawer,
        seed: recipe.seed,
    };
    let train = train
        .iter()
        .zip(&sets)
        .map(|((kind, sources), set)| {
            let open = || -> Result<DataSet> {
                match kind {
                    DataKind::Text if set.stream => {
                        let (json, eos) = (&tokenizer.json, config.eos_token_id.first().copied());
                        let stream = Stream::open(sources, drawer.clone(), json, eos, &cache, recipe.seed)?;
                        Ok(DataSet::Stream(Arc::new(stream)))
                    }
                    DataKind::Text => Ok(DataSet::Text(Arc::new(windows(sources, recipe.seed)?))),
                    DataKind::Caption => opened.captions(sources),
                    DataKind::Chat => opened.chats(sources),
                }
            };
            open().map_err(|e| of_set(e, &format!("data set \"{}\"", set.name)))
        })
        .collect::<Result<_>>()?;
    let train = DataSets(train, recipe.memory);
    let valid = if valid.is_empty() {
        None
    } else {
        Some(windows(&valid, VALID_SEED).map_err(|e| of_set(e, "data.valid"))?)
    };
    Ok(Setup {
        plan: Plan::going_on(&recipe, fold.chunk_tokens, team.size(), state.drawn.clone()),
        recipe,
        config,
        tokenizer,
        start,
        state,
        run,
        train,
        valid,
    })
}

/// `error` with the data set that it is about; what is no fault of the data stays as it is.
fn of_set(error: Error, set: &str) -> Error {
    match error {
        Error::Invalid { place, what } => Error::invalid(format!("{set}: {place}"), what),
        other => other,
    }
}

/// What opening a data set needs.
struct Opening<'a> {
    config: &'a Config,
    tokenizer: &'a TokenizerFiles,
    drawer: &'a Drawer,
    seed: u64,
}

impl Opening<'_> {
    fn captions(&self, sources: &[Source]) -> Result<DataSet> {
        let tokenizer = self.tokenizer.tokenizer.clone();
        let captions = Captions::open(sources, tokenizer, self.drawer.config(), self.seed)?;
        Ok(DataSet::Captions(Arc::new(captions)))
    }

    fn chats(&self, sources: &[Source]) -> Result<DataSet> {
        let template = Arc::new(self.tokenizer.chat_template()?);
        let special = Special {
            bos: self.config.bos_token_id,
            eos: self.config.eos_token_id.first().copied(),
        };
        let chats = Chats::open(sources, template, self.drawer.clone(), special, self.seed)?;
        Ok(DataSet::Chats(Arc::new(chats)))
    }
}

/// The configuration that `name` (preset, file or folder) stands for, and the folder with weights, if it is one.
fn model(name: &str, recipe: &Path) -> Result<(Config, Option<PathBuf>)> {
    if let Some(config) = preset(name) {
        return Ok((config, None));
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Ok((Config::load(path)?, Some(path.to_owned())));
    }
    if path.is_file() {
        let json = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        return Ok((Config::from_json(&json, name)?, None));
    }
    let what = format!(
        "model \"{name}\" is no file or folder, nor a preset ({})",
        PRESETS.join(", ")
    );
    Err(Error::invalid(recipe.display().to_string(), what))
}

/// Keeps a copy of the recipe in the run's folder; says so when a resumed run's recipe has changed.
fn keep_recipe(path: &Path, run: &RunDir, start: &Start, tell: &dyn Fn(Preparing<'_>)) -> Result<()> {
    let text = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let copy = run.root().join("recipe.toml");
    if matches!(start, Start::Resume(_)) && std::fs::read(&copy).is_ok_and(|old| old != text) {
        tell(Preparing::Note(
            "the recipe has changed since the run began: the rest follows the new one",
        ));
    }
    write_whole(&copy, &text)
}

fn open_corpus(
    sources: &[Source],
    tokenizer: &TokenizerFiles,
    config: &Config,
    cache: &Path,
    tell: &(dyn Fn(Preparing<'_>) + Sync),
) -> Result<Corpus> {
    let eos = config.eos_token_id.first().copied();
    let progress = |bytes| tell(Preparing::Tokenised(bytes));
    Corpus::open(
        sources,
        &tokenizer.tokenizer,
        &tokenizer.json,
        eos,
        Some(cache),
        &progress,
    )
}
