//! A new model around weights that exist: a language model's, a SigLIP encoder's, or both (spec section 5: training
//! starts from pretrained parts). Every tensor is accounted for.

use crate::{Error, Result};
use folio_engine::checkpoint::{Checkpoint, TensorSpec, init_tensor, tensors};
use folio_engine::config::Config;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const LANGUAGE: &str = "language_model.";
const VISION: &str = "vision_tower.";

/// The folders that weights are taken from.
#[derive(Debug, Default)]
pub struct Donors {
    language: Option<(PathBuf, Config, Checkpoint)>,
    vision: Option<(PathBuf, Checkpoint, &'static str)>,
}

/// Where the tensors of a new model came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Tensors from the language model's folder.
    pub language: usize,
    /// Tensors from the encoder's folder.
    pub vision: usize,
    /// Names of tensors with fresh random values.
    pub fresh: Vec<String>,
    /// Names of tensors in the folders that the new model has no place for (a SigLIP's text tower, its pooling head).
    pub unused: Vec<String>,
}

impl Donors {
    /// Opens the folders. `language`: a Qwen3, Qwen2, Llama or SmolLM2 folder, or a folio one, whose decoder is taken;
    /// `vision`: a SigLIP or SigLIP2 folder of fixed resolution, or a folio one, whose encoder is taken.
    ///
    /// # Errors
    /// A folder that is no such model.
    pub fn open(language: Option<&Path>, vision: Option<&Path>) -> Result<Self> {
        let language = match language {
            Some(dir) => Some((dir.to_owned(), Config::load(dir)?, Checkpoint::open(dir)?)),
            None => None,
        };
        let vision = match vision {
            Some(dir) => {
                let checkpoint = Checkpoint::open(dir)?;
                let prefix = vision_prefix(&checkpoint).ok_or_else(|| {
                    let what = "holds no tensor vision_model.embeddings.patch_embedding.weight: name a SigLIP folder";
                    Error::invalid(dir.display().to_string(), what)
                })?;
                Some((dir.to_owned(), checkpoint, prefix))
            }
            None => None,
        };
        Ok(Self { language, vision })
    }

    /// `config` with the language model's shape and special ids in place of its own.
    pub fn shape(&self, mut config: Config) -> Config {
        if let Some((_, language, _)) = &self.language {
            config.text = language.text.clone();
            config.bos_token_id = language.bos_token_id;
            config.eos_token_id.clone_from(&language.eos_token_id);
        }
        config
    }

    /// The first values of one tensor of `config`: a donor's, or fresh ones by `seed`.
    ///
    /// # Errors
    /// A donor's tensor that is missing, of another shape, or not finite.
    pub fn values(&self, config: &Config, spec: &TensorSpec, seed: u64) -> Result<Vec<f32>> {
        if let Some((dir, checkpoint, name)) = self.donor(spec) {
            let theirs = TensorSpec {
                name,
                shape: spec.shape.clone(),
            };
            return checkpoint.read_f32(&theirs).map_err(|e| {
                let what = format!("does not fit the model ({e})");
                Error::invalid(dir.display().to_string(), what)
            });
        }
        if let (true, Some((_, language, checkpoint))) = (spec.name == "aligner.scale", &self.language) {
            // Visual tokens start as long as the text tokens that the decoder knows (spec section 2).
            let name = if language.fold.is_some() { LANGUAGE } else { "" };
            let embedding = checkpoint.read_f32(&TensorSpec {
                name: format!("{name}model.embed_tokens.weight"),
                shape: vec![config.text.vocab_size, config.text.hidden_size],
            })?;
            let squares: f64 = embedding.iter().map(|x| f64::from(x * x)).sum();
            return Ok(vec![(squares / embedding.len().max(1) as f64).sqrt() as f32]);
        }
        Ok(init_tensor(config, spec, seed))
    }

    /// What [`Self::values`] takes from where for a whole model.
    pub fn account(&self, config: &Config) -> Account {
        let mut account = Account::default();
        let (mut language, mut vision) = (HashSet::new(), HashSet::new());
        for spec in tensors(config) {
            match self.donor(&spec) {
                Some((_, _, name)) if spec.name.starts_with(LANGUAGE) => drop(language.insert(name)),
                Some((_, _, name)) => drop(vision.insert(name)),
                None => account.fresh.push(spec.name),
            }
        }
        (account.language, account.vision) = (language.len(), vision.len());
        let mut unused = |checkpoint: &Checkpoint, used: &HashSet<String>| {
            let names = checkpoint.names().into_iter().filter(|name| !used.contains(*name));
            account.unused.extend(names.map(str::to_owned));
        };
        if let Some((_, _, checkpoint)) = &self.language {
            unused(checkpoint, &language);
        }
        if let Some((_, checkpoint, _)) = &self.vision {
            unused(checkpoint, &vision);
        }
        account
    }

    /// The folder and the name there of the tensor that one of ours starts as.
    fn donor(&self, spec: &TensorSpec) -> Option<(&Path, &Checkpoint, String)> {
        if let Some((dir, config, checkpoint)) = &self.language
            && let Some(rest) = spec.name.strip_prefix(LANGUAGE)
        {
            let prefix = if config.fold.is_some() { LANGUAGE } else { "" };
            return Some((dir, checkpoint, format!("{prefix}{rest}")));
        }
        let (dir, checkpoint, prefix) = self.vision.as_ref()?;
        let rest = spec.name.strip_prefix(VISION)?;
        Some((dir, checkpoint, format!("{prefix}{rest}")))
    }
}

/// What stands before `vision_model.` in a folder's tensor names.
fn vision_prefix(checkpoint: &Checkpoint) -> Option<&'static str> {
    let names: HashSet<&str> = checkpoint.names().into_iter().collect();
    let patch = "vision_model.embeddings.patch_embedding.weight";
    ["", VISION]
        .into_iter()
        .find(|prefix| names.contains(format!("{prefix}{patch}").as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model_folder::{TokenizerFiles, init};
    use folio_engine::checkpoint::{Dtype, write};
    use folio_engine::config::{AlignerKind, preset};

    fn small() -> Config {
        let mut config = preset("folio-nano").unwrap();
        config.text.num_hidden_layers = 1;
        config.text.vocab_size = 300;
        config.fold.as_mut().unwrap().aligner.kind = AlignerKind::Tanh;
        config
    }

    /// A text-only folder and a vision folder, with tensors that nobody wants beside the wanted ones.
    fn donors(dir: &Path, config: &Config) -> (PathBuf, PathBuf) {
        let (language, vision) = (dir.join("lm"), dir.join("siglip"));
        std::fs::create_dir_all(&language).unwrap();
        std::fs::create_dir_all(&vision).unwrap();
        let text = Config {
            fold: None,
            ..config.clone()
        };
        std::fs::write(language.join("config.json"), text.to_json()).unwrap();
        let values = |spec: &TensorSpec| Ok((0..spec.elements()).map(|i| (i % 7) as f32 * 0.5).collect());
        write(&language, &tensors(&text), Dtype::F32, &mut |s| values(s)).unwrap();
        let mut list: Vec<TensorSpec> = tensors(config)
            .into_iter()
            .filter_map(|spec| {
                let name = spec.name.strip_prefix(VISION)?.to_owned();
                Some(TensorSpec { name, ..spec })
            })
            .collect();
        list.push(TensorSpec {
            name: "logit_scale".to_owned(),
            shape: vec![1],
        });
        write(&vision, &list, Dtype::F32, &mut |spec| Ok(vec![0.25; spec.elements()])).unwrap();
        (language, vision)
    }

    #[test]
    fn every_tensor_is_accounted_for_and_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let config = small();
        let (language, vision) = donors(dir.path(), &config);
        let donors = Donors::open(Some(&language), Some(&vision)).unwrap();
        let mut other = config.clone();
        other.text = preset("folio-nano").unwrap().text;
        let wanted = donors.shape(other);
        assert_eq!(wanted, config);
        let account = donors.account(&wanted);
        let all = tensors(&wanted).len();
        assert_eq!(account.fresh, ["aligner.weight", "aligner.bias", "aligner.scale"]);
        assert_eq!(account.language + account.vision + 3, all);
        assert_eq!(account.unused, ["logit_scale"]);
        let out = dir.path().join("out");
        let files = TokenizerFiles::byte_level(&wanted).unwrap();
        init(&out, &wanted, &files, 1, Dtype::F32, &donors, &mut |_| {}).unwrap();
        let made = Checkpoint::open(&out).unwrap();
        made.check(&wanted).unwrap();
        for spec in tensors(&wanted) {
            let values = made.read_f32(&spec).unwrap();
            if spec.name.starts_with(LANGUAGE) {
                assert!(
                    values.iter().enumerate().all(|(i, &x)| x == (i % 7) as f32 * 0.5),
                    "{}",
                    spec.name
                );
            } else if spec.name.starts_with(VISION) {
                assert!(values.iter().all(|&x| x == 0.25), "{}", spec.name);
            }
        }
        // The RMS of 0, 0.5, …, 3.
        let scale = made.read_f32(&tensors(&wanted).pop().unwrap()).unwrap();
        assert!((scale[0] - 1.8).abs() < 0.01, "{scale:?}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = small();
        let (language, vision) = donors(dir.path(), &config);
        assert!(
            Donors::open(None, Some(&language))
                .unwrap_err()
                .to_string()
                .contains("SigLIP")
        );
        assert!(
            Donors::open(Some(&vision), None)
                .unwrap_err()
                .to_string()
                .contains("config.json")
        );
        let donors = Donors::open(None, Some(&vision)).unwrap();
        let mut other = config.clone();
        other.fold.as_mut().unwrap().vision.intermediate_size += 8;
        let misfit = tensors(&other)
            .iter()
            .find_map(|spec| donors.values(&other, spec, 0).err());
        let error = misfit.unwrap().to_string();
        assert!(error.contains("siglip") && error.contains("mlp.fc1"), "{error}");
    }
}
