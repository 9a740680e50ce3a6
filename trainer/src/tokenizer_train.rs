//! Training a byte-level BPE tokenizer on the data.

use crate::data::{Source, hash, names, pieces, read_documents};
use crate::{Error, Result};
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder, TokenizerImpl,
};

/// The token that starts a document; id 0.
pub const BOS: &str = "<bos>";
/// The token that ends a document; id 1.
pub const EOS: &str = "<eos>";
/// Length of the pieces that documents are sampled in, in bytes.
const PIECE: usize = 8192;

/// A tokenizer as this module trains it.
pub type TrainedTokenizer = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, DecoderWrapper>;

/// Trains a byte-level BPE of (at most) `vocab_size` ids on about `sample_bytes` of the documents' text, taken evenly.
///
/// Ids 0 and 1 are [`BOS`] and [`EOS`]; all 256 bytes are in the vocabulary, so that every text has a tokenisation.
/// The same data, size and cap give the same tokenizer.
///
/// # Errors
/// A vocabulary with no room for the bytes; data that cannot be read or holds no text.
pub fn train(sources: &[Source], vocab_size: usize, sample_bytes: u64) -> Result<TrainedTokenizer> {
    if vocab_size < 258 {
        return Err(Error::Argument(format!(
            "vocab size {vocab_size} has no room for 256 bytes, {BOS} and {EOS}"
        )));
    }
    let pieces = sample(sources, sample_bytes)?;
    let failed = |e: tokenizers::Error| Error::invalid("tokenizer training", e.to_string());
    let mut tokenizer: TrainedTokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(ByteLevel::new(false, false, true)))
        .with_post_processor(None)
        .with_decoder(Some(ByteLevel::new(false, false, true).into()))
        .build()
        .map_err(failed)?;
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(BOS, true), AddedToken::from(EOS, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, pieces.into_iter()).map_err(failed)?;
    Ok(tokenizer)
}

/// Writes `tokenizer.json` and `tokenizer_config.json` into `dir`, making the folder.
///
/// # Errors
/// A folder that cannot be written; one that already has a `tokenizer.json`.
pub fn write(tokenizer: &TrainedTokenizer, dir: &Path) -> Result<()> {
    let path = dir.join("tokenizer.json");
    if path.exists() {
        return Err(Error::Argument(format!(
            "{} exists already: choose another --out",
            path.display()
        )));
    }
    let json = tokenizer
        .to_string(true)
        .map_err(|e| Error::invalid("tokenizer", e.to_string()))?;
    std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    crate::files::write_whole(
        &dir.join("tokenizer_config.json"),
        tokenizer_config(BOS, EOS).as_bytes(),
    )?;
    crate::files::write_whole(&path, json.as_bytes())
}

/// The `tokenizer_config.json` of a tokenizer with these special tokens.
pub fn tokenizer_config(bos: &str, eos: &str) -> String {
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "add_bos_token": true,
        "clean_up_tokenization_spaces": false,
    });
    format!("{config:#}\n")
}

/// Pieces of the documents that together hold about `cap` bytes, chosen by a hash of their place.
fn sample(sources: &[Source], cap: u64) -> Result<Vec<String>> {
    let mut total = 0u64;
    read_documents(sources, &mut |document| {
        total += document.text.len() as u64;
        Ok(())
    })?;
    if total == 0 {
        return Err(Error::invalid(
            names(sources),
            "hold no text: there is nothing to learn from",
        ));
    }
    let share = cap as f64 / total as f64;
    let (mut sampled, mut number) = (Vec::new(), 0u64);
    read_documents(sources, &mut |document| {
        for piece in pieces(&document.text, PIECE) {
            if (hash(&[number]) as f64 / u64::MAX as f64) < share || (number == 0 && cap > 0) {
                sampled.push(piece.to_owned());
            }
            number += 1;
        }
        Ok(())
    })?;
    Ok(sampled)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data::sources;

    fn data(text: &str) -> (tempfile::TempDir, Vec<Source>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, text).unwrap();
        let sources = sources(&[path]).unwrap();
        (dir, sources)
    }

    #[test]
    fn special_ids_bytes_and_merges() {
        let (_dir, sources) = data(&"the river and the raven\n".repeat(500));
        let tokenizer = train(&sources, 300, 1 << 20).unwrap();
        assert_eq!(tokenizer.token_to_id(BOS), Some(0));
        assert_eq!(tokenizer.token_to_id(EOS), Some(1));
        assert!(tokenizer.get_vocab_size(true) > 258 && tokenizer.get_vocab_size(true) <= 300);
        let text = " the raven\n\n\u{4f60} \u{1f600}";
        let ids = tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
        assert!(ids.len() < text.len(), "nothing was merged");
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    }

    #[test]
    fn written_files_are_whole_and_never_overwritten() {
        let (dir, sources) = data("some words to learn from, some more words");
        let tokenizer = train(&sources, 260, 1 << 20).unwrap();
        let out = dir.path().join("out");
        write(&tokenizer, &out).unwrap();
        assert!(tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).is_ok());
        assert!(
            write(&tokenizer, &out)
                .unwrap_err()
                .to_string()
                .contains("exists already")
        );
    }

    #[test]
    fn impossible_requests_are_refused() {
        let (_dir, sources) = data(" \n");
        assert!(train(&sources, 257, 100).unwrap_err().to_string().contains("257"));
        assert!(train(&sources, 300, 100).unwrap_err().to_string().contains("no text"));
    }

    #[test]
    fn the_sample_is_capped_spread_and_repeatable() {
        let text = "a line of some forty characters, or so.\n".repeat(20_000);
        let (_dir, sources) = data(&text);
        let pieces = sample(&sources, 200_000).unwrap();
        let size: usize = pieces.iter().map(String::len).sum();
        assert!((100_000..320_000).contains(&size), "{size} bytes");
        assert_eq!(pieces, sample(&sources, 200_000).unwrap());
        assert_eq!(sample(&sources, u64::MAX).unwrap().concat(), text);
    }
}
