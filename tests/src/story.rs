//! Whole sessions, told token by token.

use folio_engine::Result;
use folio_engine::Wait;
use folio_engine::page::FontStack;
use folio_engine::runner::Runner;
use folio_engine::session::{ContextMode, Event, PartKind, Sampling, Session, Settings};
use folio_engine::text::{Tokenizer, byte_level_tokenizer_json};
use std::path::Path;
use std::sync::Arc;

/// What a session told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Story {
    /// Ids of the tokens written.
    pub tokens: Vec<u32>,
    /// Their log-probabilities.
    pub logprobs: Vec<f64>,
    /// How many tokens were written before each fold; 0 for those of the prompt.
    pub folds: Vec<usize>,
    /// The pages of every unfolding.
    pub unfolds: Vec<Vec<usize>>,
}

/// The tokenizer of the tiny models: ids 0 and 1 are special, every byte is a token.
///
/// # Panics
/// Never: it is well formed.
pub fn bytes() -> Arc<Tokenizer> {
    let json = byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 1)]);
    Arc::new(Tokenizer::from_bytes(json.as_bytes(), "tokenizer.json").unwrap())
}

/// The tokenizer of a model folder.
///
/// # Panics
/// If there is none.
pub fn tokenizer_of(dir: &Path) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::load(dir).unwrap())
}

/// Reads `prompt`, folding as it goes, and writes `n` tokens. `heard` is called after every event.
///
/// # Errors
/// As the session's.
pub fn tell(
    runner: Box<dyn Runner>,
    tokenizer: &Arc<Tokenizer>,
    prompt: &str,
    n: usize,
    sampling: Sampling,
    heard: &mut dyn FnMut(&Event),
) -> Result<Story> {
    tell_unfolding(runner, tokenizer, prompt, n, sampling, 0, heard)
}

/// As [`tell`], with so many pages read again for every chunk.
///
/// # Errors
/// As the session's.
pub fn tell_unfolding(
    runner: Box<dyn Runner>,
    tokenizer: &Arc<Tokenizer>,
    prompt: &str,
    n: usize,
    sampling: Sampling,
    unfold: usize,
    heard: &mut dyn FnMut(&Event),
) -> Result<Story> {
    let settings = Settings {
        sampling,
        stop: Vec::new(),
        ignore_eos: true,
        max_new_tokens: n,
        unfold,
    };
    let mode = match runner.config().fold {
        Some(_) => ContextMode::Folded,
        None => ContextMode::Full,
    };
    let mut session = Session::new(runner, tokenizer.clone(), FontStack::embedded(), mode, settings)?;
    session.push(PartKind::Prompt, tokenizer.encode(prompt)?)?;
    let mut story = Story::default();
    while let Some(event) = session.next_event().wait()? {
        heard(&event);
        match event {
            Event::Token { id, logprob, .. } => {
                story.tokens.push(id);
                story.logprobs.push(logprob);
            }
            Event::Unfolded { pages, .. } => story.unfolds.push(pages),
            Event::Folded { .. } => story.folds.push(story.tokens.len()),
            _ => {}
        }
    }
    Ok(story)
}

/// Asserts that two runners told the same tokens, with all but the same probabilities.
///
/// # Panics
/// If they did not, naming the first token that differs.
pub fn same(found: &Story, right: &Story, what: &str) {
    let differ = found.tokens.iter().zip(&right.tokens).position(|(a, b)| a != b);
    assert_eq!(
        differ, None,
        "{what}: the first token that differs\n{found:?}\n{right:?}"
    );
    assert_eq!(found.tokens.len(), right.tokens.len(), "{what}: tokens");
    assert_eq!(found.folds, right.folds, "{what}: folds");
    assert_eq!(found.unfolds, right.unfolds, "{what}: pages read again");
    for (i, (a, b)) in found.logprobs.iter().zip(&right.logprobs).enumerate() {
        assert!((a - b).abs() < 1e-3, "{what}: log-probability of token {i}: {a}, {b}");
    }
}
