//! `tokenizer.json`, or the tokenizer of a GGUF file.

use super::gguf::{tokenizer_config as gguf_config, tokenizer_json as gguf_json};
use super::vocab::{Style, Vocab};
use crate::gguf::{Gguf, is_gguf};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// A tokenizer with the exact bytes of every token.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Reads special tokens written in a text as plain text.
    plain: tokenizers::Tokenizer,
    /// Turns special tokens written in a text into their ids.
    special: tokenizers::Tokenizer,
    vocab: Vocab,
    /// Whether texts start with BOS.
    adds_bos: bool,
}

/// The parts of `tokenizer.json` that say how tokens become bytes.
#[derive(serde::Deserialize)]
struct Head {
    #[serde(default)]
    decoder: Option<serde_json::Value>,
    #[serde(default)]
    pre_tokenizer: Option<serde_json::Value>,
}

impl Tokenizer {
    /// Reads `dir/tokenizer.json`, and from `dir/tokenizer_config.json` whether texts start with BOS; or what a GGUF file
    /// says of both.
    ///
    /// # Errors
    /// A file that is missing or not a tokenizer.
    pub fn load(dir: &Path) -> Result<Self> {
        if is_gguf(dir) {
            return Self::from_gguf(&Gguf::open(dir)?);
        }
        let path = dir.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        // Whoever asks for the chat template hears what is wrong with this file.
        let config = std::fs::read(dir.join("tokenizer_config.json")).unwrap_or_default();
        let config = serde_json::from_slice(&config).unwrap_or_default();
        let tokenizer = Self::from_bytes(&json, &path.display().to_string())?;
        Ok(tokenizer.adding_bos(adds_bos(&config)))
    }

    /// The tokenizer of a GGUF file.
    ///
    /// # Errors
    /// A tokenizer that is no byte-level BPE or cuts words in an unknown way; lists that do not fit together.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let tokenizer = Self::from_bytes(&gguf_json(gguf)?, gguf.place())?;
        Ok(tokenizer.adding_bos(adds_bos(&gguf_config(gguf)?)))
    }

    /// Parses the content of a `tokenizer.json`; `place` names it in errors.
    ///
    /// # Errors
    /// A content that is not a tokenizer, or of a kind whose tokens have no exact bytes (WordPiece, CTC).
    pub fn from_bytes(json: &[u8], place: &str) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::invalid(place, format!("not a tokenizer.json ({e})"));
        let head: Head = serde_json::from_slice(json).map_err(|e| bad(&e))?;
        let style = Style::of(head.decoder.as_ref(), head.pre_tokenizer.as_ref()).map_err(|kind| {
            Error::invalid(
                place,
                format!("its decoder {kind} is not supported: byte-level BPE and SentencePiece tokenizers are"),
            )
        })?;
        let mut special = tokenizers::Tokenizer::from_bytes(json).map_err(|e| bad(&e))?;
        special.with_truncation(None).map_err(|e| bad(&e))?.with_padding(None);
        let vocab = Vocab::new(&special, style).map_err(|what| Error::invalid(place, what))?;
        let mut plain = special.clone();
        plain.set_encode_special_tokens(true);
        Ok(Self {
            inner: Arc::new(Inner {
                plain,
                special,
                vocab,
                adds_bos: true,
            }),
        })
    }

    fn adding_bos(mut self, adds_bos: bool) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.adds_bos = adds_bos;
        }
        self
    }

    /// Whether texts start with BOS. Models that fold always start with it; of others some were trained without.
    pub fn adds_bos(&self) -> bool {
        self.inner.adds_bos
    }

    /// Token ids of `text`; no special token is added, none is recognised inside the text.
    ///
    /// # Errors
    /// A text that the tokenizer cannot take.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = run(&self.inner.plain, text)?;
        let Some(literal) = self.smuggled(&ids, text) else {
            return Ok(ids);
        };
        // The model's own vocabulary knows the literal (Unigram pieces like "</s>"): cut it apart.
        let mut ids = Vec::new();
        let mut rest = text;
        let first = literal.chars().next().map_or(0, char::len_utf8);
        while let Some(at) = rest.find(literal) {
            let (now, later) = rest.split_at(at + first);
            ids.extend(run(&self.inner.plain, now)?);
            rest = later;
        }
        ids.extend(run(&self.inner.plain, rest)?);
        match self.smuggled(&ids, text) {
            None => Ok(ids),
            Some(literal) => Err(Error::Argument(format!(
                "the text contains {literal:?}, which this tokenizer cannot read as plain text: remove it"
            ))),
        }
    }

    /// A special token of `ids` that is written out in `text`. Others stand for unknown characters.
    fn smuggled(&self, ids: &[u32], text: &str) -> Option<&str> {
        let id = ids.iter().find(|&&id| {
            self.is_special(id)
                && self
                    .inner
                    .vocab
                    .special(id)
                    .is_some_and(|literal| text.contains(literal))
        })?;
        self.inner.vocab.special(*id)
    }

    /// Like [`Self::encode`], but special tokens written in `text` (as chat templates do) become their ids.
    ///
    /// # Errors
    /// A text that the tokenizer cannot take.
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        run(&self.inner.special, text)
    }

    /// The exact bytes that a token stands for; empty for special tokens and unknown ids.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.inner.vocab.bytes(id)
    }

    /// Whether `id` is a special token (draws nothing, prints nothing).
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.vocab.special(id).is_some()
    }

    /// The id of the token written `token` in the vocabulary (special tokens included).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.special.token_to_id(token)
    }

    /// Number of ids: the largest id and one.
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab.len()
    }

    /// The text of `ids`; incomplete and invalid bytes are U+FFFD, special tokens are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a `tokenizer_config.json` says: its own word, else that of the tokenizer's class. Without either, texts start with
/// BOS.
fn adds_bos(config: &serde_json::Value) -> bool {
    let own = config.get("add_bos_token").and_then(serde_json::Value::as_bool);
    own.unwrap_or_else(|| {
        let class = config.get("tokenizer_class").and_then(serde_json::Value::as_str);
        !class.is_some_and(|class| class.starts_with("GPT2Tokenizer") || class.starts_with("Qwen2Tokenizer"))
    })
}

fn run(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
    match tokenizer.encode_fast(text, false) {
        Ok(encoding) => Ok(encoding.get_ids().to_vec()),
        Err(e) => Err(Error::Argument(format!("the tokenizer cannot read the text: {e}"))),
    }
}
