//! From a run's checkpoint to a model folder that others can use.

use crate::files::write_whole;
use crate::model_folder::{TokenizerFiles, new_folder, write_side_files};
use crate::run_dir::RunDir;
use crate::setup::same_weights;
use crate::{Error, Result};
use folio_engine::checkpoint::{Checkpoint, Dtype, tensors, write};
use folio_engine::config::Config;
use std::path::{Path, PathBuf};

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Latest,
    /// The best by validation.
    Best,
    /// That of one step.
    Step(u64),
}

/// Writes a checkpoint of the run in `root` to the new folder `out`, without the training state and with a model card
/// to fill in. Gives the checkpoint's folder. The weights are the mean of the checkpoint's and of those in `average`: other
/// checkpoints of the same model; where they differ in what is seen (`reread_tokens`), the result has the checkpoint's.
///
/// # Errors
/// A folder without the checkpoint; an `average` that is of another model; weights that `dtype` cannot hold; an `out` that exists and is not empty.
pub fn export(root: &Path, which: Which, average: &[PathBuf], out: &Path, dtype: Dtype) -> Result<PathBuf> {
    if !root.is_dir() {
        return Err(Error::invalid(
            root.display().to_string(),
            "is no folder: name a run's folder",
        ));
    }
    let run = RunDir::open(root)?;
    let missing = |what: &str| Error::invalid(root.display().to_string(), format!("holds no {what}"));
    let (latest, state) = run.latest()?.ok_or_else(|| missing("checkpoint of a run"))?;
    let (from, step) = match which {
        Which::Latest => (latest, state.step),
        Which::Best => {
            let best = state.best.ok_or_else(|| missing("validated checkpoint"))?;
            (run.checkpoint(best.step), best.step)
        }
        Which::Step(step) => (run.checkpoint(step), step),
    };
    if !from.is_dir() {
        return Err(missing(&format!(
            "checkpoint of step {step} (it has {:?})",
            run.steps()?
        )));
    }
    let config = Config::load(&from)?;
    let checkpoint = Checkpoint::open(&from)?;
    checkpoint.check(&config)?;
    let others: Vec<Checkpoint> = average
        .iter()
        .map(|dir| {
            if !same_weights(&Config::load(dir)?, &config) {
                let what = format!("is of another model than {}: their mean is none", from.display());
                return Err(Error::invalid(dir.display().to_string(), what));
            }
            let other = Checkpoint::open(dir)?;
            other.check(&config)?;
            Ok(other)
        })
        .collect::<Result<_>>()?;
    let tokenizer = TokenizerFiles::load(&from)?;
    new_folder(out, |dir| {
        write(dir, &tensors(&config), dtype, &mut |spec| {
            let mut mean = checkpoint.read_f32(spec)?;
            for other in &others {
                mean.iter_mut()
                    .zip(other.read_f32(spec)?)
                    .for_each(|(sum, x)| *sum += x);
            }
            mean.iter_mut().for_each(|sum| *sum /= (1 + others.len()) as f32);
            Ok(mean)
        })?;
        write_side_files(dir, &config, &tokenizer)?;
        write_whole(&dir.join("README.md"), card(step, state.tokens).as_bytes())
    })?;
    Ok(from)
}

fn card(step: u64, tokens: u64) -> String {
    format!(
        "# Model card\n\nTrained with `folio-train`; checkpoint of step {step} of a run that saw {tokens} text tokens.\n\n\
         ## Data\n\n## Recipe\n\n## Results\n\n## What it can and cannot do\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model_folder::init;
    use crate::run_dir::{Best, RunState};
    use folio_engine::config::preset;

    #[test]
    fn checkpoints_become_model_folders() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = preset("folio-nano").unwrap();
        config.text.num_hidden_layers = 1;
        let files = TokenizerFiles::byte_level(&config).unwrap();
        let (root, out) = (dir.path().join("run"), dir.path().join("out"));
        assert!(
            export(&root, Which::Latest, &[], &out, Dtype::F16)
                .unwrap_err()
                .to_string()
                .contains("no folder")
        );
        let run = RunDir::create(&root).unwrap();
        assert!(
            export(&root, Which::Latest, &[], &out, Dtype::F16)
                .unwrap_err()
                .to_string()
                .contains("no checkpoint")
        );
        for step in [3, 7] {
            let state = RunState {
                step,
                best: Some(Best { step: 3, loss: 1.0 }),
                ..RunState::default()
            };
            run.save(&state, 2, |folder| {
                let none = crate::init_from::Donors::default();
                init(&folder.join("m"), &config, &files, step, Dtype::F32, &none, &mut |_| {})?;
                for entry in std::fs::read_dir(folder.join("m")).unwrap() {
                    let path = entry.unwrap().path();
                    std::fs::rename(&path, folder.join(path.file_name().unwrap())).unwrap();
                }
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(
            export(&root, Which::Latest, &[], &out, Dtype::F16).unwrap(),
            run.checkpoint(7)
        );
        Checkpoint::open(&out)
            .unwrap()
            .check(&Config::load(&out).unwrap())
            .unwrap();
        assert!(out.join("README.md").is_file() && !out.join("state.json").exists());
        let best = dir.path().join("best");
        assert_eq!(
            export(&root, Which::Best, &[], &best, Dtype::F32).unwrap(),
            run.checkpoint(3)
        );
        let error = export(&root, Which::Step(5), &[], &dir.path().join("x"), Dtype::F32)
            .unwrap_err()
            .to_string();
        assert!(error.contains("step 5") && error.contains("[3, 7]"), "{error}");
        // The mean of both, and of a model of another shape none.
        let mean = dir.path().join("mean");
        export(&root, Which::Latest, &[run.checkpoint(3)], &mean, Dtype::F32).unwrap();
        for spec in tensors(&config) {
            let read = |dir: &Path| Checkpoint::open(dir).unwrap().read_f32(&spec).unwrap();
            let (a, b) = (read(&run.checkpoint(3)), read(&run.checkpoint(7)));
            let right: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
            assert_eq!(read(&mean), right, "{}", spec.name);
        }
        // What is read again is no weight: the mean has it from the checkpoint.
        let (reads, sum) = (dir.path().join("reads"), dir.path().join("sum"));
        config.fold.as_mut().unwrap().reread_tokens = 4;
        let none = crate::init_from::Donors::default();
        init(&reads, &config, &files, 3, Dtype::F32, &none, &mut |_| {}).unwrap();
        export(&root, Which::Latest, &[reads], &sum, Dtype::F32).unwrap();
        assert_eq!(Config::load(&sum).unwrap().fold.unwrap().reread_tokens, 0);
        config.text.num_hidden_layers = 2;
        let (other, none) = (dir.path().join("other"), crate::init_from::Donors::default());
        init(&other, &config, &files, 1, Dtype::F32, &none, &mut |_| {}).unwrap();
        let refused = dir.path().join("y");
        let error = export(&root, Which::Latest, &[other], &refused, Dtype::F32)
            .unwrap_err()
            .to_string();
        assert!(error.contains("another model") && !refused.exists(), "{error}");
    }
}
