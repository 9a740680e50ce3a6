//! Which files hold the data, and how each is written.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// How documents lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line; its `text` is a document.
    JsonLines,
    /// The whole file is one document.
    Text,
    /// The column `text` holds a document in every row (feature `parquet`).
    Parquet,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`, one or several members.
    Gzip,
    /// `.zst`, one or several frames.
    Zstd,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// How documents lie in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl Source {
    /// A file's format by its name; `None` when the name says nothing we know.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (name, compression) = if let Some(stem) = name.strip_suffix(".gz") {
            (stem, Compression::Gzip)
        } else if let Some(stem) = name.strip_suffix(".zst") {
            (stem, Compression::Zstd)
        } else {
            (name.as_str(), Compression::None)
        };
        let format = match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" | "json" => Format::JsonLines,
            "txt" | "text" | "md" => Format::Text,
            "parquet" if compression == Compression::None => Format::Parquet,
            _ => return None,
        };
        Some(Self {
            path: path.to_owned(),
            format,
            compression,
        })
    }
}

/// The data files that `paths` name, folders searched through and sorted by name.
///
/// # Errors
/// A path that does not exist, a named file of unknown type, a folder without any data file.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in paths {
        let meta = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if meta.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(unknown(path, "holds no data file"));
            }
        } else {
            found.push(Source::of(path).ok_or_else(|| unknown(path, "is no data file by its name"))?);
        }
    }
    Ok(found)
}

/// The files of `sources` in words, for errors: the first few by name, the others by their number.
pub(crate) fn names(sources: &[Source]) -> String {
    const NAMED: usize = 3;
    let named: Vec<String> = sources
        .iter()
        .take(NAMED)
        .map(|source| source.path.display().to_string())
        .collect();
    match sources.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn unknown(path: &Path, what: &str) -> Error {
    Error::invalid(
        path.display().to_string(),
        format!("{what}: expected .jsonl or .txt (plain, .gz or .zst) or .parquet"),
    )
}

fn walk(dir: &Path, found: &mut Vec<Source>) -> Result<()> {
    let mut entries = std::fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(|e| Error::io("list", dir, e))?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found)?;
        } else if let Some(source) = Source::of(&path) {
            found.push(source);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        let of = |name: &str| Source::of(Path::new(name)).map(|s| (s.format, s.compression));
        assert_eq!(of("a/b.jsonl.zst"), Some((Format::JsonLines, Compression::Zstd)));
        assert_eq!(of("B.TXT.GZ"), Some((Format::Text, Compression::Gzip)));
        assert_eq!(of("b.txt"), Some((Format::Text, Compression::None)));
        assert_eq!(of("b.parquet"), Some((Format::Parquet, Compression::None)));
        assert_eq!(of("b.parquet.gz"), None);
        assert_eq!(of("zst"), None);
    }

    #[test]
    fn many_files_are_named_by_the_first() {
        let of = |n: usize| {
            let paths = (0..n).map(|i| format!("{i}.txt"));
            names(
                &paths
                    .filter_map(|path| Source::of(Path::new(&path)))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(of(1), "0.txt");
        assert_eq!(of(3), "0.txt, 1.txt, 2.txt");
        assert_eq!(of(5), "0.txt, 1.txt, 2.txt and 2 more");
    }

    #[test]
    fn folders_are_walked_in_order_and_must_hold_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("inner")).unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        for name in ["z.txt", "a.jsonl", "inner/m.txt", "notes.pdf"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let names: Vec<_> = sources(&[dir.path().to_owned()])
            .unwrap()
            .into_iter()
            .map(|s| s.path)
            .collect();
        assert_eq!(names, [path("a.jsonl"), path("inner/m.txt"), path("z.txt")]);
        assert!(
            sources(&[path("empty")])
                .unwrap_err()
                .to_string()
                .contains("holds no data file")
        );
        assert!(
            sources(&[path("notes.pdf")])
                .unwrap_err()
                .to_string()
                .contains("notes.pdf")
        );
        assert!(
            sources(&[path("absent.txt")])
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
    }
}
