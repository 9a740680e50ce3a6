//! Files in and out: UTF-8 text, results that appear whole or not at all, pages.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use folio_engine::checkpoint::AtomicFile;
use folio_engine::page::PageImage;

use crate::failure::usage;

/// Reads a text file (`-` is stdin), which must be UTF-8.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        ("stdin".to_owned(), bytes)
    } else {
        (
            path.display().to_string(),
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        )
    };
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes().get(at).copied().unwrap_or(0);
        anyhow::anyhow!("{name}: not UTF-8 text: byte 0x{byte:02x} at offset {at}; convert the file to UTF-8 first")
    })
}

/// A file that will be written at the end. Opened at the start, so that a path that cannot be written is told before
/// the work and not after it.
pub(crate) enum Pending {
    /// Appears whole or not at all.
    Regular(AtomicFile),
    /// A device or a pipe: written in place.
    Special(PathBuf, File),
}

impl Pending {
    /// Opens a temporary file beside `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        if path == Path::new("-") {
            return Err(usage(
                "-: stdout is for the text; give a file name (or ./- if the file is to be called that)",
            ));
        }
        // A link is followed: its target is replaced, not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let device = ["/dev", "/proc"].iter().any(|dir| path.starts_with(dir));
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => bail!("{}: it is a folder; give a file name", cannot()),
            Ok(meta) if device || !meta.is_file() => {
                // Not truncated, and never renamed over: /dev/stderr may well lead to a file.
                let file = File::options().append(true).open(path);
                Ok(Self::Special(path.to_owned(), file.with_context(cannot)?))
            }
            _ => Ok(Self::Regular(AtomicFile::create(&target)?)),
        }
    }

    /// Writes everything and puts the file in place.
    pub(crate) fn commit(self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Regular(mut file) => {
                file.write(bytes)?;
                file.commit()?;
            }
            Self::Special(path, mut file) => {
                file.write_all(bytes)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// A folder that pages are written to.
pub(crate) struct PageFolder(PathBuf);

impl PageFolder {
    /// Makes the folder.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes `page_NNNNN.png`.
    pub(crate) fn write(&self, index: usize, page: &PageImage) -> anyhow::Result<()> {
        let path = self.0.join(format!("page_{index:05}.png"));
        std::fs::write(&path, page.to_png()).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_pointing_and_a_device_stays_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Pending::open(&link).unwrap().commit(b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        drop(Pending::open(&target).unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"new", "not committed, so untouched");
        assert!(matches!(
            Pending::open(Path::new("/dev/null")).unwrap(),
            Pending::Special(..)
        ));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
