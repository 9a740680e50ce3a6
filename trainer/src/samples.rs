//! What the model writes at a validation: `samples/step_000123.txt` and the pages that it folded, for people to read.

use crate::data::{Memory, SampleRequest, Windows};
use crate::files::write_whole;
use crate::{Error, Result};
use folio_engine::model::{BurnRunner, Fused, Vist2};
use folio_engine::page::{FontStack, PageImage};
use folio_engine::session::{ContextMode, Event, PartKind, Sampling, Session, Settings};
use folio_engine::text::Tokenizer;
use std::path::Path;
use std::sync::Arc;

/// Who writes, and from what.
#[derive(Debug)]
pub struct Samples<'a, B: Fused> {
    /// The model.
    pub model: &'a Vist2<B>,
    /// Where it is.
    pub device: &'a B::Device,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Where the prompt comes from: the first validation window.
    pub windows: &'a Windows,
    /// What finished chunks become.
    pub memory: Memory,
    /// Tokens of each text.
    pub tokens: usize,
}

/// Writes a greedy and a sampled continuation, through folds, into `dir` (made if need be), with the pages of the greedy
/// one. A model that breaks down says so in the text.
///
/// Memories that nobody can generate with (`window`, `none`) write nothing.
///
/// # Errors
/// Files that cannot be written.
pub fn write_samples<B: Fused>(dir: &Path, step: u64, samples: &Samples<'_, B>) -> Result<()> {
    let &Samples {
        model,
        device,
        tokenizer,
        windows,
        ..
    } = samples;
    let mode = match samples.memory {
        Memory::Full => ContextMode::Full,
        Memory::Window | Memory::None => return Ok(()),
        _ => ContextMode::Folded,
    };
    let Some(fold) = &model.config.fold else {
        return Ok(());
    };
    std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    let window = windows.sample(&SampleRequest {
        chunks: 2,
        ..SampleRequest::default()
    });
    // A whole chunk, which folds, and the start of the next.
    let ids = window.chunks.iter().flat_map(|chunk| chunk.ids.iter().copied());
    let prompt: Vec<u32> = ids.take(fold.chunk_tokens + fold.chunk_tokens / 4).collect();
    let mut text = format!("--- prompt\n{}\n", tokenizer.decode(&prompt));
    let sampled = Sampling {
        temperature: 0.8,
        top_p: 0.95,
        seed: step,
        ..Sampling::default()
    };
    let name = format!("step_{step:06}");
    for (how, sampling) in [
        ("greedy", Sampling::default()),
        ("temperature 0.8, top-p 0.95", sampled),
    ] {
        let greedy = sampling.temperature == 0.0;
        let settings = Settings {
            sampling,
            ignore_eos: true,
            max_new_tokens: samples.tokens,
            ..Settings::default()
        };
        let runner = Box::new(BurnRunner::new(model.clone(), device.clone(), "training"));
        let (written, pages) = write(runner, tokenizer, mode, settings, &prompt);
        text += &format!("--- {how}\n{written}\n");
        if greedy {
            for (i, page) in pages.iter().enumerate() {
                write_whole(&dir.join(format!("{name}_page_{i:02}.png")), &page.to_png())?;
            }
        }
    }
    write_whole(&dir.join(format!("{name}.txt")), text.as_bytes())
}

/// The text that follows `prompt`, and every page folded on the way.
fn write(
    runner: Box<dyn folio_engine::runner::Runner>,
    tokenizer: &Tokenizer,
    mode: ContextMode,
    settings: Settings,
    prompt: &[u32],
) -> (String, Vec<PageImage>) {
    let (mut written, mut pages) = (String::new(), Vec::new());
    let run = || -> Result<()> {
        let tokenizer = Arc::new(tokenizer.clone());
        let mut session = Session::new(runner, tokenizer, FontStack::embedded(), mode, settings)?;
        session.push(PartKind::Prompt, prompt.to_vec())?;
        for event in &mut session {
            match event? {
                Event::Token { text, .. } | Event::Done { text, .. } => written += &text,
                Event::Page { image, .. } => pages.push(image),
                _ => {}
            }
        }
        Ok(())
    };
    if let Err(error) = run() {
        written += &format!("\n[broken off: {error}]");
    }
    (written, pages)
}
