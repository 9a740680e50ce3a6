//! Files that appear whole or not at all.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file being written under a temporary name beside its place; dropped without [`AtomicFile::commit`], it is removed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    synced: bool,
    committed: bool,
}

impl AtomicFile {
    /// Starts the file that is to stand at `path`.
    ///
    /// # Errors
    /// The folder does not exist or cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}.{count}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(|e| Error::io("write", path, e))?;
        let file = BufWriter::new(file);
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
            synced: false,
            committed: false,
        })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// The system refuses (a full disk).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.synced = false;
        self.file
            .write_all(bytes)
            .map_err(|e| Error::io("write", &self.path, e))
    }

    /// Brings everything to the disk, still under the temporary name.
    ///
    /// # Errors
    /// The system refuses (a full disk).
    pub fn sync(&mut self) -> Result<()> {
        if !self.synced {
            self.file.flush().map_err(|e| Error::io("write", &self.path, e))?;
            self.file
                .get_ref()
                .sync_all()
                .map_err(|e| Error::io("write", &self.path, e))?;
            self.synced = true;
        }
        Ok(())
    }

    /// Puts the file in its place, over any older one.
    ///
    /// # Errors
    /// The system refuses; the older file then still stands.
    pub fn commit(mut self) -> Result<()> {
        self.sync()?;
        std::fs::rename(&self.temporary, &self.path).map_err(|e| Error::io("write", &self.path, e))?;
        self.committed = true;
        // The rename itself lasts once the folder is synced; folders of some systems cannot be.
        if let Some(folder) = self.path.parent().and_then(|folder| File::open(folder).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
