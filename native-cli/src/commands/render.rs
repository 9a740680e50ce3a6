//! `folio render`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use folio_engine::page::{PageRenderer, Tint, Typesetter};
use folio_engine::text::Chunker;

use crate::files::{PageFolder, read_text};
use crate::model::{Model, ModelArgs};

/// Draw the pages of a text file as PNG images, exactly as the model would see them.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  folio render story.txt --out pages/ --font NotoSansCJK-Regular.ttc")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text (UTF-8; `-` is stdin).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for page_00000.png, …
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Draw on grey, as turns of a user are.
    #[arg(long)]
    grey: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let model = Model::open(&args.model)?;
    let fold = model.config.fold.as_ref().with_context(|| {
        format!(
            "{}: a text-only model has no pages; give --model of one that folds",
            model.dir.display()
        )
    })?;
    let ids = model.tokenizer.encode(&read_text(&args.file)?)?;
    let out = PageFolder::create(&args.out)?;
    let mut chunker = Chunker::new(Typesetter::new(fold), fold.chunk_tokens);
    let renderer = PageRenderer::new(fold, model.fonts.clone());
    let tint = if args.grey { Tint::Grey } else { Tint::White };
    let mut chunks = Vec::new();
    for &id in &ids {
        chunker.step(id, model.tokenizer.token_bytes(id), |chunk| chunks.push(chunk));
    }
    chunks.extend(chunker.finish());
    for (index, chunk) in chunks.iter().enumerate() {
        out.write(index, &renderer.render(&chunk.text, tint))?;
    }
    if !args.model.quiet {
        eprintln!(
            "{} tokens on {} pages in {}",
            ids.len(),
            chunks.len(),
            args.out.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
