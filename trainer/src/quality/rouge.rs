//! Greedy continuations by the session that `folio generate` runs, against how the text went on.

use super::reader::Reader;
use super::report::Continuations;
use super::texts::Texts;
use super::{Watch, rouge_l};
use crate::{Error, Result};
use folio_engine::session::{ContextMode, Event, PartKind, Session, Settings};
use std::sync::Arc;

/// Continues every document from its middle, for as long as it goes on but at most two chunks.
pub(super) fn continuations(reader: &mut Reader, texts: &Texts, watch: &Watch<'_>) -> Result<Continuations> {
    let length = texts.documents.first().map_or(0, Vec::len);
    let prompt_tokens = length / 2;
    let tokens = (length - prompt_tokens).min(2 * reader.fold.chunk_tokens);
    let total = texts.documents.len();
    let (mut own, mut other) = (0.0, 0.0);
    let reference = |i: usize| &texts.documents[i % total][prompt_tokens..prompt_tokens + tokens];
    for (i, ids) in texts.documents.iter().enumerate() {
        watch.at("continuing texts", i, total)?;
        let written = write(reader, &ids[..prompt_tokens], tokens)?;
        own += rouge_l(&written, &reader.tokenizer.decode(reference(i)));
        other += rouge_l(&written, &reader.tokenizer.decode(reference(i + 1)));
    }
    Ok(Continuations {
        documents: total,
        prompt_tokens,
        tokens,
        rouge_l: own / total as f64,
        rouge_l_other: other / total as f64,
    })
}

fn write(reader: &mut Reader, prompt: &[u32], tokens: usize) -> Result<String> {
    let runner = reader
        .runner
        .take()
        .ok_or_else(|| Error::Argument("the model is in use".to_owned()))?;
    let settings = Settings {
        ignore_eos: true,
        max_new_tokens: tokens,
        ..Settings::default()
    };
    let (tokenizer, fonts) = (Arc::new(reader.tokenizer.clone()), reader.fonts.clone());
    let mut session = Session::new(runner, tokenizer, fonts, ContextMode::Folded, settings)?;
    session.push(PartKind::Prompt, prompt.to_vec())?;
    let mut written = String::new();
    for event in &mut session {
        if let Event::Token { text, .. } | Event::Done { text, .. } = event? {
            written += &text;
        }
    }
    reader.runner = Some(session.into_runner());
    Ok(written)
}
