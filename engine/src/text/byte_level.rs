//! A tokenizer that needs no training: every byte is a token.

use serde_json::{Map, Value, json};

/// The `tokenizer.json` of a byte-level tokenizer: 256 byte tokens in GPT-2's byte-level form, and special tokens.
///
/// `special` gives name and id of each special token (say `("<bos>", 0), ("<eos>", 1)`); the bytes take the lowest ids
/// that are left, in order. For random checkpoints and tests.
pub fn byte_level_tokenizer_json(special: &[(&str, u32)]) -> String {
    let mut vocab = Map::new();
    let mut added = Vec::new();
    for &(name, id) in special {
        vocab.insert(name.to_owned(), json!(id));
        added.push(json!({
            "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    let free = (0u32..).filter(|id| special.iter().all(|(_, taken)| taken != id));
    for (ch, id) in byte_chars().into_iter().zip(free) {
        vocab.insert(ch.to_string(), json!(id));
    }
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    });
    let tokenizer = json!({
        "version": "1.0",
        "truncation": Value::Null,
        "padding": Value::Null,
        "added_tokens": added,
        "normalizer": Value::Null,
        "pre_tokenizer": byte_level,
        "post_processor": Value::Null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": Value::Null, "unk_token": Value::Null, "continuing_subword_prefix": Value::Null,
            "end_of_word_suffix": Value::Null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [],
        },
    });
    tokenizer.to_string()
}

/// GPT-2's visible character for every byte: printable Latin-1 stands for itself, the others move to U+0100 and on.
pub(super) fn byte_chars() -> Vec<char> {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut moved = 0x100;
    (0..=255u8)
        .map(|b| {
            if printable(b) {
                return char::from(b);
            }
            moved += 1;
            char::from_u32(moved - 1).unwrap_or('?')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tokenizer;

    #[test]
    fn every_byte_comes_back_around_the_special_tokens() {
        let json = byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 5)]);
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), "test").unwrap();
        assert_eq!(tokenizer.vocab_size(), 258);
        let text = "a\u{0}\n é 漢\u{7f}\u{a0}\u{ad}<bos>";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids.len(), text.len(), "one token a byte, special tokens not recognised");
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
        assert_eq!(bytes, text.as_bytes());
        let mut all: Vec<Vec<u8>> = (0..258).map(|id| tokenizer.token_bytes(id).to_vec()).collect();
        assert!(tokenizer.is_special(0) && tokenizer.is_special(5));
        all.retain(|b| !b.is_empty());
        assert_eq!(all, (0..=255u8).map(|b| vec![b]).collect::<Vec<_>>());
    }

    #[test]
    fn special_tokens_may_sit_far_away() {
        let json = byte_level_tokenizer_json(&[("<bos>", 151_643)]);
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), "test").unwrap();
        assert_eq!(tokenizer.encode("\u{0}").unwrap(), [0]);
        assert!(tokenizer.is_special(151_643));
    }
}
