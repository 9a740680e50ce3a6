//! `folio-train tokenizer`.

use folio_trainer::{data, tokenizer_train};
use std::path::PathBuf;

/// Arguments of `folio-train tokenizer`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Data files or folders: .jsonl (`text` of each line) or .txt, plain, .gz or .zst.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    data: Vec<PathBuf>,
    /// Number of ids: <bos>, <eos>, 256 bytes and the merges.
    #[arg(long, default_value_t = 4096)]
    vocab_size: usize,
    /// Folder for tokenizer.json and tokenizer_config.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How much text to learn from, in MB, taken evenly from all documents.
    #[arg(long, default_value_t = 64)]
    sample_mb: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let sources = data::sources(&args.data)?;
    let tokenizer = tokenizer_train::train(&sources, args.vocab_size, args.sample_mb * 1_000_000)?;
    tokenizer_train::write(&tokenizer, &args.out)?;
    let size = tokenizer.get_vocab_size(true);
    if size < args.vocab_size {
        eprintln!("note: the text gives only {size} ids, not {}", args.vocab_size);
    }
    eprintln!("{} with {size} ids", args.out.join("tokenizer.json").display());
    Ok(())
}
