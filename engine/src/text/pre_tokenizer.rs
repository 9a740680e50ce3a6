//! How text is cut into words before byte pairs are merged, by the names that GGUF files give (`tokenizer.ggml.pre`).
//! What each name means is said by llama.cpp (`llama-vocab.cpp`); what the models' own `tokenizer.json` say is the same.

use serde_json::{Value, json};

/// Llama 3's words: numbers of up to three digits.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Qwen2's words: the same with digits one by one.
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// What the name of a pre-tokenizer stands for.
pub(super) struct PreTokenizer {
    /// `pre_tokenizer` of a `tokenizer.json`.
    pub(super) words: Value,
    /// Its `normalizer`.
    pub(super) normalizer: Value,
    /// Whether a word that is a token is taken as it is, without merging.
    pub(super) ignore_merges: bool,
    /// Whether BOS is put before a text when the file does not say.
    pub(super) adds_bos: bool,
}

/// Names that [`pre_tokenizer`] knows, for people.
pub(super) const KNOWN: &str = "gpt-2, smollm, starcoder, refact, llama-bpe, llama3, qwen2 and deepseek-r1-qwen";

/// The pre-tokenizer called `name`.
pub(super) fn pre_tokenizer(name: &str) -> Option<PreTokenizer> {
    let plain = PreTokenizer {
        words: byte_level(true),
        normalizer: Value::Null,
        ignore_merges: false,
        adds_bos: false,
    };
    Some(match name {
        "gpt-2" => plain,
        "smollm" | "starcoder" | "refact" => PreTokenizer {
            words: sequence(json!({ "type": "Digits", "individual_digits": true }), byte_level(true)),
            ..plain
        },
        "llama-bpe" | "llama3" | "llama-v3" => PreTokenizer {
            words: split(LLAMA3),
            ignore_merges: true,
            adds_bos: true,
            ..plain
        },
        "qwen2" | "deepseek-r1-qwen" => PreTokenizer {
            words: split(QWEN2),
            normalizer: json!({ "type": "NFC" }),
            ..plain
        },
        _ => return None,
    })
}

/// Bytes as GPT-2's letters; `words` cuts as GPT-2 does, too.
fn byte_level(words: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": words })
}

fn split(pattern: &str) -> Value {
    let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    sequence(split, byte_level(false))
}

fn sequence(first: Value, second: Value) -> Value {
    json!({ "type": "Sequence", "pretokenizers": [first, second] })
}
