//! Files in and out: UTF-8 text, results that appear whole or not at all, pages.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use folio_engine::page::PageImage;

/// Reads a text file (`-` is stdin), which must be UTF-8.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
        ("stdin".to_owned(), bytes)
    } else {
        (path.display().to_string(), std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes().get(at).copied().unwrap_or(0);
        anyhow::anyhow!("{name}: not UTF-8 text: byte 0x{byte:02x} at offset {at}; convert the file to UTF-8 first")
    })
}

/// A file that will be written at the end. Opened at the start, so that a path that cannot be written is told before
/// the work and not after it.
pub(crate) struct Pending {
    path: PathBuf,
    /// Where the bytes go until they are complete; `None` for what is no regular file (a device, a pipe).
    partial: Option<PathBuf>,
    file: File,
    done: bool,
}

impl Pending {
    /// Opens a partial file beside `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let existing = std::fs::metadata(path).ok();
        if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            bail!("{}: it is a folder; give a file name", cannot());
        }
        let Some(name) = path.file_name() else { bail!("{}: it has no file name", cannot()) };
        let special = existing.is_some_and(|m| !m.is_file());
        let partial = (!special).then(|| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}.partial", std::process::id()));
            path.with_file_name(hidden)
        });
        let file = match &partial {
            Some(partial) => File::create(partial),
            None => File::options().write(true).open(path),
        };
        Ok(Self { path: path.to_owned(), partial, file: file.with_context(cannot)?, done: false })
    }

    /// Writes everything and puts the file in place.
    pub(crate) fn commit(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let cannot = format!("cannot write {}", self.path.display());
        self.file.write_all(bytes).with_context(|| cannot.clone())?;
        if let Some(partial) = &self.partial {
            self.file.sync_all().with_context(|| cannot.clone())?;
            std::fs::rename(partial, &self.path).with_context(|| cannot.clone())?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (false, Some(partial)) = (self.done, &self.partial) {
            // Best effort: there is nobody left to tell.
            let _ = std::fs::remove_file(partial);
        }
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
