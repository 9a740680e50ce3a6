//! A run's metrics, for drawing.

use crate::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// Points of a curve at most: more cannot be told apart, and make a large file.
const POINTS: usize = 400;

/// One run's lines.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it is called: its folder's name.
    pub name: String,
    lines: Vec<Value>,
}

impl Run {
    /// Reads the metrics of the run in `dir`, or the file `dir` itself.
    ///
    /// # Errors
    /// A file that cannot be read, is not JSON lines, or holds nothing yet.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = if dir.is_dir() {
            dir.join("metrics.jsonl")
        } else {
            dir.to_owned()
        };
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        let beside = || {
            dir.parent()
                .filter(|parent| parent.file_name().is_some())
                .unwrap_or(dir)
        };
        let folder = if dir.is_dir() { dir } else { beside() };
        let name = folder
            .file_name()
            .unwrap_or(folder.as_os_str())
            .to_string_lossy()
            .into_owned();
        Self::parse(name, &text).map_err(|what| Error::invalid(path.display().to_string(), what))
    }

    /// Parses the lines of a metrics file. The last one may still be being written.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(name: String, text: &str) -> std::result::Result<Self, String> {
        let mut lines = Vec::new();
        for (i, line) in text.split_inclusive('\n').enumerate() {
            match serde_json::from_str::<Value>(line) {
                Ok(value) if value.get("step").is_some_and(Value::is_u64) => lines.push(value),
                Ok(_) => return Err(format!("line {} names no step: is this a run's metrics.jsonl?", i + 1)),
                Err(_) if !line.ends_with('\n') => {}
                Err(e) => return Err(format!("line {} is not JSON ({e})", i + 1)),
            }
        }
        if lines.is_empty() {
            return Err("holds no line yet".to_owned());
        }
        Ok(Self { name, lines })
    }

    /// `(step, value)` of `key`, rising; where there are many, means of neighbours.
    pub fn points(&self, key: &str) -> Vec<(f64, f64)> {
        let value = |line: &Value| -> Option<(f64, f64)> {
            let found = key.split('.').try_fold(line, |value, part| value.get(part))?.as_f64()?;
            let found = if key == "flops_per_s" { found / 1e9 } else { found };
            Some((line["step"].as_f64()?, found))
        };
        let points: Vec<(f64, f64)> = self
            .lines
            .iter()
            .filter_map(value)
            .filter(|p| p.1.is_finite())
            .collect();
        let together = points.len().div_ceil(POINTS).max(1);
        let mean = |points: &[(f64, f64)]| {
            let n = points.len() as f64;
            let sum = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (sum.0 / n, sum.1 / n)
        };
        points.chunks(together).map(mean).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_neighbours_averaged() {
        let line = |i: usize| format!("{{\"step\":{i},\"loss\":{i}.5,\"lr\":{{\"vision\":0.25}}}}\n");
        let text: String = (0..2 * POINTS).map(line).collect();
        let run = Run::parse("r".to_owned(), &(text + "{\"step\": 9")).unwrap();
        let loss = run.points("loss");
        assert_eq!((loss.len(), loss[0], loss[1]), (POINTS, (0.5, 1.0), (2.5, 3.0)));
        assert!(run.points("lr.vision").iter().all(|p| p.1 == 0.25));
        assert!(run.points("eval_loss").is_empty() && run.points("lr.none").is_empty());
        let of = |text: &str| Run::parse("r".to_owned(), text).unwrap_err();
        assert!(of("").contains("no line") && of("nonsense\n").contains("line 1"));
        assert!(of("{\"step\":1}\n{\"loss\":1}\n").contains("line 2"));
        // Numbers that are none are left out.
        let run = Run::parse("r".to_owned(), "{\"step\":1,\"loss\":null}\n{\"step\":2,\"loss\":3}\n").unwrap();
        assert_eq!(run.points("loss"), [(2.0, 3.0)]);
    }
}
