//! `metrics.jsonl`: one JSON object a line, appended and flushed as it happens.

use crate::files::write_whole;
use crate::recipe::LrRecipe;
use crate::{Error, Result};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A line about the training steps since the line before. Losses are means in nats; absent ones were not computed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrainLine {
    /// Steps done.
    pub step: u64,
    /// Stage, from 1.
    pub stage: usize,
    /// NLL of text tokens in `olm` samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// NLL of text tokens in `ocr` samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocr_loss: Option<f64>,
    /// NLL of captions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption_loss: Option<f64>,
    /// NLL of responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sft_loss: Option<f64>,
    /// NLL of the first 16 tokens of chunks that follow a fold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first16_loss: Option<f64>,
    /// Cell-naming loss, per cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells_loss: Option<f64>,
    /// Token-naming loss, per patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_loss: Option<f64>,
    /// Loss of naming tokens by direction, per patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directions_loss: Option<f64>,
    /// NLL of the token that follows a visual token's stretch of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_loss: Option<f64>,
    /// NLL of the first token after a fold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_loss: Option<f64>,
    /// RMS of the visual tokens over that of the token embedding, last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visual_scale: Option<f64>,
    /// Learning rates of the last step.
    pub lr: LrRecipe,
    /// Gradient norm of the language side, before clipping, last step.
    pub grad_norm: f64,
    /// Gradient norm of the vision side, before clipping, last step.
    pub vision_grad_norm: f64,
    /// Text tokens seen in all.
    pub tokens: u64,
    /// Text tokens a second since the line before.
    pub tokens_per_s: f64,
    /// Arithmetic achieved since the line before, FLOPs a second; see [`crate::flops`].
    pub flops_per_s: f64,
    /// Seconds spent waiting for data since the line before.
    pub wait_s: f64,
    /// Seconds of training in all, resumed parts included.
    pub elapsed_s: f64,
    /// Memory that the process holds, in MB, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_mb: Option<f64>,
}

/// A line about a validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EvalLine {
    /// Steps done.
    pub step: u64,
    /// NLL of text tokens, folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_loss: Option<f64>,
    /// NLL of tokens in chunks after the first, folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_folded_loss: Option<f64>,
    /// NLL of the same tokens, each chunk alone after BOS: the difference is what memory is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_none_loss: Option<f64>,
    /// `eval_folded_loss` in the first 16 tokens of a chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_first16_loss: Option<f64>,
    /// `eval_none_loss` in the first 16 tokens of a chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_none_first16_loss: Option<f64>,
    /// NLL of text read back from pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ocr_loss: Option<f64>,
    /// NLL of the first page's text when it is read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ocr_first_loss: Option<f64>,
    /// The same with another page before the text: what reading is worth is the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ocr_wrong_loss: Option<f64>,
    /// Share of the first page's tokens that are the most likely ones when it is read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_ocr_exact: Option<f64>,
    /// `eval_folded_loss`, first token of a chunk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_first_loss: Option<f64>,
    /// `eval_none_loss`, first token of a chunk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_none_first_loss: Option<f64>,
    /// Cell-naming loss, per cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_cells_loss: Option<f64>,
    /// `eval_folded_loss` by offset inside the chunk: of offsets 0, 1, 2–3, 4–7, 8–15, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eval_folded_by_offset: Vec<Option<f64>>,
    /// `eval_none_loss` by offset inside the chunk, in the same stretches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eval_none_by_offset: Vec<Option<f64>>,
    /// Seconds that it took.
    pub eval_s: f64,
}

/// The file.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens `path` to append to. Lines about steps after `step` are dropped: a resumed run makes them anew.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        if path.exists() {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
            let kept: String = text.split_inclusive('\n').filter(|line| keep(line, step)).collect();
            if kept.len() < text.len() {
                write_whole(path, kept.as_bytes())?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Error::io("write", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut json = serde_json::to_string(line).map_err(|e| Error::Argument(format!("metrics: {e}")))?;
        json.push('\n');
        // One write a line, so that a reader never sees half of one.
        self.file
            .write_all(json.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

fn keep(line: &str, step: u64) -> bool {
    // A line cut short by a crash has no end and is dropped as well.
    line.ends_with('\n')
        && serde_json::from_str::<serde_json::Value>(line)
            .ok()
            .and_then(|v| v.get("step").and_then(serde_json::Value::as_u64))
            .is_some_and(|s| s <= step)
}

/// Memory that this process holds, in MB; `None` where the system does not tell.
pub fn rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib * 1024.0 / 1e5).round() / 10.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_continues_the_file_without_doubles() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let line = |step| TrainLine {
            step,
            loss: Some(f64::NAN),
            ..TrainLine::default()
        };
        let mut metrics = Metrics::open(&path, 0).unwrap();
        (1..=5).for_each(|step| metrics.write(&line(step * 10)).unwrap());
        metrics
            .write(&EvalLine {
                step: 50,
                ..EvalLine::default()
            })
            .unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\": 3").unwrap();
        let mut metrics = Metrics::open(&path, 30).unwrap();
        metrics.write(&line(40)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<u64> = text
            .lines()
            .map(|l| {
                serde_json::from_str::<serde_json::Value>(l).unwrap()["step"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        assert_eq!(steps, [10, 20, 30, 40]);
        assert!(text.contains("\"loss\":null"));
    }
}
