//! Model folders in Hugging Face layout, written whole.

use crate::files::{temporary, write_whole};
use crate::init_from::Donors;
use crate::tokenizer_train::tokenizer_config;
use crate::{Error, Result};
use folio_engine::checkpoint::{Dtype, TensorSpec, tensors, write};
use folio_engine::config::Config;
use folio_engine::text::{ChatTemplate, Tokenizer, byte_level_tokenizer_json};
use std::path::Path;

/// A tokenizer with its files' contents.
#[derive(Debug, Clone)]
pub struct TokenizerFiles {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// `tokenizer.json`.
    pub json: Vec<u8>,
    /// `tokenizer_config.json`.
    pub config: Vec<u8>,
    /// `chat_template.jinja`, where there is one.
    pub template: Option<Vec<u8>>,
}

impl TokenizerFiles {
    /// Reads `tokenizer.json`, or a folder that holds one; `tokenizer_config.json` beside it is taken along.
    ///
    /// # Errors
    /// A file that cannot be read or is no tokenizer.
    pub fn load(path: &Path) -> Result<Self> {
        let file = if path.is_dir() {
            path.join("tokenizer.json")
        } else {
            path.to_owned()
        };
        let json = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
        let tokenizer = Tokenizer::from_bytes(&json, &file.display().to_string())?;
        let beside = file.with_file_name("tokenizer_config.json");
        let config = match std::fs::read(&beside) {
            Ok(config) => config,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                tokenizer_config(crate::tokenizer_train::BOS, crate::tokenizer_train::EOS).into_bytes()
            }
            Err(e) => return Err(Error::io("read", &beside, e)),
        };
        let beside = file.with_file_name("chat_template.jinja");
        let template = match std::fs::read(&beside) {
            Ok(template) => Some(template),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("read", &beside, e)),
        };
        Ok(Self {
            tokenizer,
            json,
            config,
            template,
        })
    }

    /// The chat template: `chat_template.jinja`, else that of `tokenizer_config.json`, else the plain one.
    ///
    /// # Errors
    /// A template that is not valid.
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        let place = "tokenizer_config.json";
        let text = String::from_utf8_lossy(&self.config);
        let Some(template) = &self.template else {
            return ChatTemplate::from_config(&text, place);
        };
        let mut config: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::invalid(place, format!("not JSON ({e})")))?;
        config["chat_template"] = String::from_utf8_lossy(template).into();
        ChatTemplate::from_config(&config.to_string(), "chat_template.jinja")
    }

    /// A byte-level tokenizer whose special ids are those of `config`.
    ///
    /// # Errors
    /// A vocabulary with no room for 256 bytes and the special tokens.
    pub fn byte_level(config: &Config) -> Result<Self> {
        let (bos, eos) = (crate::tokenizer_train::BOS, crate::tokenizer_train::EOS);
        let mut special = vec![(bos.to_owned(), config.bos_token_id)];
        for &id in config.eos_token_id.iter().filter(|&&id| id != config.bos_token_id) {
            // Only the first can be `<eos>` itself; Qwen has two.
            let name = if special.len() == 1 {
                eos.to_owned()
            } else {
                format!("<eos_{}>", special.len())
            };
            special.push((name, id));
        }
        if config.text.vocab_size < 256 + special.len() {
            let what = format!(
                "vocab_size {} has no room for a byte-level tokenizer",
                config.text.vocab_size
            );
            return Err(Error::Argument(what));
        }
        let special: Vec<(&str, u32)> = special.iter().map(|(name, id)| (name.as_str(), *id)).collect();
        let json = byte_level_tokenizer_json(&special).into_bytes();
        let tokenizer = Tokenizer::from_bytes(&json, "byte-level tokenizer")?;
        Ok(Self {
            tokenizer,
            json,
            config: tokenizer_config(bos, eos).into_bytes(),
            template: None,
        })
    }
}

/// Writes everything of a model folder but the weights into `dir`.
///
/// # Errors
/// A file that cannot be written.
pub fn write_side_files(dir: &Path, config: &Config, tokenizer: &TokenizerFiles) -> Result<()> {
    write_whole(&dir.join("config.json"), config.to_json().as_bytes())?;
    write_whole(&dir.join("tokenizer.json"), &tokenizer.json)?;
    write_whole(&dir.join("tokenizer_config.json"), &tokenizer.config)?;
    if let Some(template) = &tokenizer.template {
        write_whole(&dir.join("chat_template.jinja"), template)?;
    }
    let generation = serde_json::json!({
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "do_sample": true,
        "temperature": 0.8,
        "top_p": 0.95,
    });
    write_whole(
        &dir.join("generation_config.json"),
        format!("{generation:#}\n").as_bytes(),
    )
}

/// Makes the folder `dir` by `fill`, whole or not at all.
///
/// # Errors
/// A `dir` that exists and is not empty; whatever `fill` gives.
pub fn new_folder(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if dir.is_dir() {
        // Fails, as it should, when the folder is not empty.
        std::fs::remove_dir(dir).map_err(|_| refuse(dir, "exists and is not empty"))?;
    } else if dir.exists() {
        return Err(refuse(dir, "is a file"));
    }
    let temporary = temporary(dir);
    let made = std::fs::create_dir_all(&temporary)
        .map_err(|e| Error::io("make", dir, e))
        .and_then(|()| fill(&temporary))
        .and_then(|()| std::fs::rename(&temporary, dir).map_err(|e| Error::io("write", dir, e)));
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    made
}

fn refuse(dir: &Path, what: &str) -> Error {
    Error::invalid(dir.display().to_string(), format!("{what}: choose another --out"))
}

/// Writes a model of `config` to the new folder `dir`: the donors' weights where there are any, the rest random by `seed`;
/// `progress` is told of every tensor.
///
/// # Errors
/// As [`new_folder`]; a tokenizer or a donor that does not fit the model.
pub fn init(
    dir: &Path,
    config: &Config,
    tokenizer: &TokenizerFiles,
    seed: u64,
    dtype: Dtype,
    donors: &Donors,
    progress: &mut dyn FnMut(&TensorSpec),
) -> Result<()> {
    crate::recipe::check_tokenizer(config, &tokenizer.tokenizer, "tokenizer.json")?;
    new_folder(dir, |dir| {
        write(dir, &tensors(config), dtype, &mut |spec| {
            progress(spec);
            donors.values(config, spec, seed)
        })?;
        write_side_files(dir, config, tokenizer)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use folio_engine::checkpoint::Checkpoint;
    use folio_engine::config::{PRESETS, preset};

    #[test]
    fn byte_level_tokenizers_fit_every_preset() {
        for name in PRESETS {
            let config = preset(name).unwrap();
            let files = TokenizerFiles::byte_level(&config).unwrap();
            crate::recipe::check_tokenizer(&config, &files.tokenizer, name).unwrap();
            let ids = files.tokenizer.encode("h\u{e9}").unwrap();
            assert_eq!(ids.len(), 3);
            assert_eq!(files.tokenizer.decode(&ids), "h\u{e9}");
        }
    }

    #[test]
    fn a_random_model_is_whole_repeatable_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = preset("folio-nano").unwrap();
        config.text.num_hidden_layers = 1;
        let files = TokenizerFiles::byte_level(&config).unwrap();
        let make = |name: &str, seed| {
            let out = dir.path().join(name);
            init(&out, &config, &files, seed, Dtype::F32, &Donors::default(), &mut |_| {}).map(|()| out)
        };
        let (one, two, other) = (make("a", 1).unwrap(), make("b", 1).unwrap(), make("c", 2).unwrap());
        let weights = |dir: &Path| std::fs::read(dir.join("model.safetensors")).unwrap();
        assert!(weights(&one) == weights(&two) && weights(&one) != weights(&other));
        let loaded = Config::load(&one).unwrap();
        assert_eq!(loaded, config);
        Checkpoint::open(&one).unwrap().check(&loaded).unwrap();
        TokenizerFiles::load(&one).unwrap();
        assert!(make("a", 1).unwrap_err().to_string().contains("not empty"));
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        make("empty", 1).unwrap();
    }

    #[test]
    fn a_failed_folder_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        assert!(new_folder(&out, |_| Err(Error::Argument("no".to_owned()))).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
