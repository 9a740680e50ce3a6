//! Sessions on the mock runner: division, folding, ends, figures, restoring.

mod generation;
mod restoring;
mod sampler;
mod scoring;
mod unfolding;

use super::mock::{MockRunner, config, tokenizer};
use super::*;
use crate::Wait;
use crate::config::Config;
use crate::page::FontStack;

struct Outcome {
    ids: Vec<u32>,
    logprobs: Vec<f64>,
    text: String,
    reason: FinishReason,
    stats: Stats,
    /// Tokens and slots of every fold.
    folds: Vec<(usize, usize)>,
    /// Tokens written before every unfolding, and its pages.
    unfolds: Vec<(usize, Vec<usize>)>,
}

fn drain(session: &mut Session) -> Outcome {
    take(session, usize::MAX)
}

/// Pulls events; cancels once `limit` tokens came.
fn take(session: &mut Session, limit: usize) -> Outcome {
    let (mut ids, mut logprobs, mut text, mut folds, mut stats) = (vec![], vec![], String::new(), vec![], None);
    let mut unfolds = vec![];
    if limit == 0 {
        session.cancel().wait();
    }
    loop {
        match session
            .next_event()
            .wait()
            .unwrap()
            .expect("the session ends with Done")
        {
            Event::Loading { done, total } => assert!(done <= total),
            Event::Token { id, text: new, logprob } => {
                ids.push(id);
                logprobs.push(logprob);
                text += &new;
                if ids.len() == limit {
                    session.cancel().wait();
                }
            }
            Event::Page { .. } => {}
            Event::Folded { tokens, slots, .. } => folds.push((tokens, slots)),
            Event::Unfolded { pages, .. } => unfolds.push((ids.len(), pages)),
            Event::Stats(s) => stats = Some(s),
            Event::Done { reason, text: rest } => {
                text += &rest;
                assert!(session.next_event().wait().unwrap().is_none());
                return Outcome {
                    ids,
                    logprobs,
                    text,
                    reason,
                    stats: stats.unwrap(),
                    folds,
                    unfolds,
                };
            }
        }
    }
}

fn open(config: &Config, mode: ContextMode, settings: &Settings) -> Session {
    let runner = Box::new(MockRunner::new(config.clone()));
    Session::new(runner, tokenizer(), FontStack::default(), mode, settings.clone()).unwrap()
}

fn prompted(config: &Config, mode: ContextMode, settings: &Settings, prompt: &str) -> Session {
    let mut session = open(config, mode, settings);
    session
        .push(PartKind::Prompt, tokenizer().encode(prompt).unwrap())
        .unwrap();
    session
}

fn settings(max_new_tokens: usize) -> Settings {
    // The mock's vocabulary has an EOS that would end texts at random.
    Settings {
        max_new_tokens,
        ignore_eos: true,
        ..Settings::default()
    }
}

fn sampled(max_new_tokens: usize, seed: u64) -> Settings {
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed,
        ..Sampling::default()
    };
    Settings {
        sampling,
        ..settings(max_new_tokens)
    }
}

/// Saves, writes, reads and restores on a fresh runner.
fn reopen(session: &Session, config: &Config, settings: &Settings) -> Session {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.json");
    session.save("m", "f").unwrap().write(&path).unwrap();
    let saved = SavedSession::read(&path, "m", "f").unwrap();
    let runner = Box::new(MockRunner::new(config.clone()));
    saved
        .restore(runner, tokenizer(), FontStack::default(), settings.clone())
        .unwrap()
}

const TEXT: &str = "It was a small town, and every evening the same lamp was lit in the same window.";
