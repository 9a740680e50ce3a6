//! A run's folder: checkpoints `step_000123/`, each whole or absent, and `latest`, the newest one's name.

use crate::files::{temporary, write_whole};
use crate::recipe::{Curriculum, Drawn};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a run stands: with the recipe and the tensors, all that resuming needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps done. Stage and schedule follow from it.
    pub step: u64,
    /// What these steps have drawn. Older checkpoints do not say: as many samples as if all steps had been taken by as many
    /// processes as go on.
    #[serde(default)]
    pub drawn: Drawn,
    /// Seed of the run.
    pub seed: u64,
    /// Text tokens seen.
    pub tokens: u64,
    /// Seconds of training.
    pub elapsed_s: f64,
    /// Which entries of the stages' curricula have ended by their loss.
    #[serde(default)]
    pub curriculum: Curriculum,
    /// The best validation so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// A validation result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done then.
    pub step: u64,
    /// Its loss.
    pub loss: f64,
}

/// The folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The folder of a run that starts: made if need be.
    ///
    /// # Errors
    /// A folder that already holds a run, or that cannot be made.
    pub fn create(root: &Path) -> Result<Self> {
        let run = Self::open(root)?;
        if run.latest()?.is_some() || run.metrics().exists() {
            let what = "holds a run already: add --resume to continue it, or choose another --out";
            return Err(Error::invalid(root.display().to_string(), what));
        }
        Ok(run)
    }

    /// The folder of a run, new or begun; what a crash left half-written is removed.
    ///
    /// # Errors
    /// A folder that cannot be made or listed.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(|e| Error::io("make", root, e))?;
        let run = Self { root: root.to_owned() };
        for (name, path) in run.entries()? {
            if name.starts_with(".step_") && name.ends_with(".tmp") {
                std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        Ok(run)
    }

    /// The folder of a run that may be under way: only looked at.
    pub fn look(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the metrics file.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// Path of a step's checkpoint.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.root.join(format!("step_{step:06}"))
    }

    /// The newest whole checkpoint and its state; `None` before the first.
    ///
    /// # Errors
    /// A folder that cannot be listed; a newest checkpoint whose `state.json` is damaged.
    pub fn latest(&self) -> Result<Option<(PathBuf, RunState)>> {
        let Some(step) = self.steps()?.last().copied() else {
            return Ok(None);
        };
        let path = self.checkpoint(step);
        let file = path.join("state.json");
        let json = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
        let state: RunState = serde_json::from_slice(&json).map_err(|e| {
            Error::invalid(
                file.display().to_string(),
                format!("{e}: remove this checkpoint to use the one before"),
            )
        })?;
        Ok(Some((path, state)))
    }

    /// Steps that have a checkpoint, rising.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let mut steps: Vec<u64> = self
            .entries()?
            .iter()
            .filter(|(_, path)| path.join("state.json").is_file())
            .filter_map(|(name, _)| name.strip_prefix("step_")?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes the checkpoint of `state` by `write`, which fills the folder it is given, then drops old ones: all but
    /// the `keep` newest and the best. The folder appears under its name only when all is written.
    ///
    /// # Errors
    /// Whatever `write` gives; a folder that cannot be written.
    pub fn save(&self, state: &RunState, keep: usize, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.checkpoint(state.step);
        let temporary = temporary(&path);
        let saved = self.fill(&temporary, state, write).and_then(|()| {
            if path.exists() {
                std::fs::remove_dir_all(&path).map_err(|e| Error::io("replace", &path, e))?;
            }
            std::fs::rename(&temporary, &path).map_err(|e| Error::io("write", &path, e))
        });
        if let Err(error) = saved {
            let _ = std::fs::remove_dir_all(&temporary);
            return Err(error);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write_whole(&self.root.join("latest"), format!("{name}\n").as_bytes())?;
        self.prune(keep, state.best.map(|best| best.step))?;
        Ok(path)
    }

    fn fill(&self, dir: &Path, state: &RunState, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        write(dir)?;
        let json = serde_json::to_string_pretty(state).map_err(|e| Error::Argument(format!("run state: {e}")))?;
        write_whole(&dir.join("state.json"), json.as_bytes())
    }

    fn prune(&self, keep: usize, best: Option<u64>) -> Result<()> {
        let steps = self.steps()?;
        let old = steps.len().saturating_sub(keep.max(1));
        for &step in steps[..old].iter().filter(|&&step| Some(step) != best) {
            let path = self.checkpoint(step);
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<(String, PathBuf)>> {
        let listed = std::fs::read_dir(&self.root).and_then(|entries| {
            entries
                .map(|e| e.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path())))
                .collect()
        });
        listed.map_err(|e| Error::io("list", &self.root, e))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn state(step: u64) -> RunState {
        RunState {
            step,
            drawn: Drawn::default(),
            seed: 3,
            tokens: step * 10,
            elapsed_s: 1.5,
            curriculum: Curriculum::default(),
            best: Some(Best { step: 2, loss: 4.5 }),
        }
    }

    fn save(run: &RunDir, step: u64) -> Result<PathBuf> {
        run.save(&state(step), 2, |dir| {
            std::fs::write(dir.join("model.safetensors"), format!("weights {step}")).unwrap();
            Ok(())
        })
    }

    #[test]
    fn the_newest_and_the_best_are_kept_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path()).unwrap();
        assert_eq!(run.latest().unwrap(), None);
        for step in [1, 2, 3, 10, 1_000_000] {
            save(&run, step).unwrap();
        }
        assert_eq!(run.steps().unwrap(), [2, 10, 1_000_000]);
        let (path, found) = RunDir::open(dir.path()).unwrap().latest().unwrap().unwrap();
        assert_eq!((path.clone(), found), (run.checkpoint(1_000_000), state(1_000_000)));
        assert_eq!(
            std::fs::read_to_string(path.join("model.safetensors")).unwrap(),
            "weights 1000000"
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("latest")).unwrap(),
            "step_1000000\n"
        );
        assert!(RunDir::create(dir.path()).unwrap_err().to_string().contains("--resume"));
    }

    #[test]
    fn a_failed_or_interrupted_save_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path()).unwrap();
        save(&run, 5).unwrap();
        assert!(
            run.save(&state(6), 2, |_| Err(Error::Argument("disk full".to_owned())))
                .is_err()
        );
        assert_eq!(run.latest().unwrap().unwrap().1.step, 5);
        // What a crash in the middle of a save leaves behind.
        std::fs::create_dir(dir.path().join(".step_000007.99.tmp")).unwrap();
        std::fs::create_dir(dir.path().join("step_000008")).unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        assert_eq!(run.latest().unwrap().unwrap().1.step, 5);
        assert!(!dir.path().join(".step_000007.99.tmp").exists());
        save(&run, 5).unwrap();
        save(&run, 8).unwrap();
        assert_eq!(run.latest().unwrap().unwrap().1.step, 8);
    }

    #[test]
    fn a_damaged_state_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path()).unwrap();
        let path = save(&run, 5).unwrap();
        std::fs::write(path.join("state.json"), "{").unwrap();
        let error = run.latest().unwrap_err().to_string();
        assert!(error.contains("step_000005") && error.contains("state.json"), "{error}");
    }
}
