//! The exact bytes of every token of a vocabulary.

use super::byte_level::byte_chars;
use serde_json::Value;
use std::collections::HashMap;

/// Ids above this are a damaged file rather than a vocabulary.
const MAX_ID: u32 = 1 << 24;

/// How the vocabulary writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// GPT-2's alphabet: one printable character a byte.
    ByteLevel,
    /// `▁` is a space, `<0xNN>` a byte.
    SentencePiece,
    /// As it stands.
    Literal,
}

impl Style {
    /// Reads the style off the `decoder` (or, without one, the `pre_tokenizer`); an unknown decoder gives its name.
    pub(super) fn of(decoder: Option<&Value>, pre_tokenizer: Option<&Value>) -> Result<Self, String> {
        let decoder = decoder.filter(|d| !d.is_null());
        let mut kinds = Vec::new();
        types(decoder.or(pre_tokenizer), &mut kinds);
        if kinds.contains(&"ByteLevel") {
            return Ok(Self::ByteLevel);
        }
        let unknown = kinds.iter().find(|k| ["BPEDecoder", "WordPiece", "CTC"].contains(k));
        match unknown {
            Some(kind) if decoder.is_some() => Err((*kind).to_owned()),
            _ if kinds
                .iter()
                .any(|k| ["Metaspace", "ByteFallback", "Replace"].contains(k)) =>
            {
                Ok(Self::SentencePiece)
            }
            _ => Ok(Self::Literal),
        }
    }

    fn bytes(self, token: &str, alphabet: &HashMap<char, u8>) -> Vec<u8> {
        match self {
            // A character outside the alphabet can only come from an added token without the flag.
            Self::ByteLevel => {
                let mapped: Option<Vec<u8>> = token.chars().map(|c| alphabet.get(&c).copied()).collect();
                mapped.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Self::SentencePiece => match byte_piece(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            },
            Self::Literal => token.as_bytes().to_vec(),
        }
    }
}

/// The `type` names of a component and, for a `Sequence`, of its parts.
fn types<'v>(component: Option<&'v Value>, out: &mut Vec<&'v str>) {
    let Some(component) = component else { return };
    out.extend(component.get("type").and_then(Value::as_str));
    for key in ["decoders", "pretokenizers"] {
        for part in component.get(key).and_then(Value::as_array).into_iter().flatten() {
            types(Some(part), out);
        }
    }
}

fn byte_piece(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}

/// Bytes by id, one allocation for all.
#[derive(Debug)]
pub(super) struct Vocab {
    data: Vec<u8>,
    /// `len + 1` offsets into `data`.
    offsets: Vec<u32>,
    /// Literals of the special tokens.
    special: HashMap<u32, String>,
}

impl Vocab {
    pub(super) fn new(tokenizer: &tokenizers::Tokenizer, style: Style) -> Result<Self, String> {
        let alphabet = byte_chars().into_iter().zip(0..=255).collect();
        let mut tokens: HashMap<u32, Vec<u8>> = HashMap::new();
        for (token, id) in tokenizer.get_vocab(false) {
            tokens.insert(id, style.bytes(&token, &alphabet));
        }
        let mut special = HashMap::new();
        for (id, added) in tokenizer.get_added_tokens_decoder() {
            let bytes = if added.special {
                Vec::new()
            } else {
                added.content.clone().into_bytes()
            };
            tokens.insert(id, bytes);
            if added.special {
                special.insert(id, added.content);
            }
        }
        let Some(&last) = tokens.keys().max() else {
            return Err("its vocabulary is empty".to_owned());
        };
        if last >= MAX_ID {
            return Err(format!("it has the token id {last}, which is out of any range"));
        }
        let mut data = Vec::new();
        let mut offsets = vec![0];
        for id in 0..=last {
            data.extend(tokens.remove(&id).unwrap_or_default());
            offsets.push(u32::try_from(data.len()).map_err(|_| "its vocabulary is over 4 GB".to_owned())?);
        }
        Ok(Self { data, offsets, special })
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match (self.offsets.get(id), self.offsets.get(id + 1)) {
            (Some(&start), Some(&end)) => &self.data[start as usize..end as usize],
            _ => &[],
        }
    }

    /// The literal of a special token.
    pub(super) fn special(&self, id: u32) -> Option<&str> {
        self.special.get(&id).map(String::as_str)
    }
}
