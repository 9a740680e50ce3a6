//! The tokenizer inside a GGUF file, as the `tokenizer.json` and `tokenizer_config.json` that its folder would have.

use super::pre_tokenizer::{KNOWN, pre_tokenizer};
use crate::Result;
use crate::gguf::Gguf;
use serde_json::{Map, Value, json};

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const PRE: &str = "tokenizer.ggml.pre";

// ggml's kinds of tokens; others are ordinary.
const UNKNOWN: f64 = 2.0;
const CONTROL: f64 = 3.0;
const USER_DEFINED: f64 = 4.0;

/// The `tokenizer.json` of a byte-level BPE tokenizer ("gpt2" in GGUF).
///
/// # Errors
/// A tokenizer of another kind, an unknown pre-tokenizer, lists that are missing or do not fit together.
pub(crate) fn tokenizer_json(gguf: &Gguf) -> Result<Vec<u8>> {
    let (tokens, pre) = (tokens(gguf)?, pre(gguf)?);
    let types = gguf.numbers(TYPES)?.unwrap_or_else(|| vec![1.0; tokens.len()]);
    if types.len() != tokens.len() {
        let what = format!("has {} items for {} tokens", types.len(), tokens.len());
        return Err(gguf.wrong(TYPES, what));
    }
    let (mut vocab, mut added) = (Map::new(), Vec::new());
    for (id, (&token, kind)) in tokens.iter().zip(types).enumerate() {
        if let Some(other) = vocab.insert(token.to_owned(), json!(id)) {
            return Err(gguf.wrong(TOKENS, format!("has {token:?} twice, as {other} and as {id}")));
        }
        let special = kind == CONTROL || kind == UNKNOWN;
        if (special || kind == USER_DEFINED) && !token.is_empty() {
            added.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            }));
        }
    }
    let merges = gguf.texts(MERGES)?.ok_or_else(|| gguf.wrong(MERGES, "is missing"))?;
    for merge in &merges {
        let known = |(left, right): (&str, &str)| {
            [left, right, &format!("{left}{right}")]
                .iter()
                .all(|token| vocab.contains_key(*token))
        };
        if !merge.split_once(' ').is_some_and(known) {
            return Err(gguf.wrong(
                MERGES,
                format!("has {merge:?}, which does not join two tokens to a third"),
            ));
        }
    }
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let tokenizer = json!({
        "version": "1.0",
        "truncation": Value::Null,
        "padding": Value::Null,
        "added_tokens": added,
        "normalizer": pre.normalizer,
        "pre_tokenizer": pre.words,
        "post_processor": Value::Null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": Value::Null, "unk_token": Value::Null, "continuing_subword_prefix": Value::Null,
            "end_of_word_suffix": Value::Null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre.ignore_merges, "vocab": vocab, "merges": merges,
        },
    });
    Ok(tokenizer.to_string().into_bytes())
}

/// The `tokenizer_config.json`: special tokens by name, whether BOS is added, the chat template.
///
/// # Errors
/// As [`tokenizer_json`].
pub(crate) fn tokenizer_config(gguf: &Gguf) -> Result<Value> {
    let (tokens, pre) = (tokens(gguf)?, pre(gguf)?);
    let adds_bos = gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(pre.adds_bos);
    let mut config = Map::from_iter([("add_bos_token".to_owned(), json!(adds_bos))]);
    for (name, key) in [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ] {
        if let Some(id) = gguf.id(key)? {
            let token = tokens
                .get(id as usize)
                .ok_or_else(|| gguf.wrong(key, format!("is {id}, but there are {} tokens", tokens.len())))?;
            config.insert(name.to_owned(), json!(token));
        }
    }
    if let Some(template) = gguf.text("tokenizer.chat_template")? {
        config.insert("chat_template".to_owned(), json!(template));
    }
    Ok(Value::Object(config))
}

fn tokens(gguf: &Gguf) -> Result<Vec<&str>> {
    gguf.texts(TOKENS)?
        .filter(|tokens| !tokens.is_empty())
        .ok_or_else(|| gguf.wrong(TOKENS, "is missing: the file holds no tokenizer"))
}

fn pre(gguf: &Gguf) -> Result<super::pre_tokenizer::PreTokenizer> {
    let key = "tokenizer.ggml.model";
    match gguf.text(key)? {
        Some("gpt2") => {}
        other => {
            let other = other.unwrap_or("missing");
            let what = format!("is {other:?}: only byte-level BPE tokenizers (\"gpt2\") can be read");
            return Err(gguf.wrong(key, what));
        }
    }
    let name = gguf.text(PRE)?.unwrap_or("missing");
    pre_tokenizer(name).ok_or_else(|| gguf.wrong(PRE, format!("is {name:?}: known are {KNOWN}")))
}
