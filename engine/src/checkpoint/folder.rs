//! Folders that appear whole or not at all.

use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder being filled under a temporary name beside its place; dropped without [`NewFolder::commit`], it is removed,
/// and so are the folders above it that were made for it.
#[derive(Debug)]
pub(super) struct NewFolder {
    place: PathBuf,
    temporary: PathBuf,
    /// Folders above `place` that were not there before, outermost first.
    made: Vec<PathBuf>,
    committed: bool,
}

impl NewFolder {
    /// Starts the folder that is to stand at `place`, where nothing but an empty folder may be.
    ///
    /// # Errors
    /// Something is there already, or the folder cannot be made.
    pub(super) fn create(place: &Path) -> Result<Self> {
        let cannot = |e| Error::io("create", place, e);
        let shown = place.display().to_string();
        // Links are followed, and "." gets its name.
        let found = match place.canonicalize() {
            Ok(path) => path,
            Err(e) if e.kind() == ErrorKind::NotFound => place.to_owned(),
            Err(e) => return Err(cannot(e)),
        };
        match std::fs::read_dir(&found).map(|mut entries| entries.next()) {
            Ok(None) => {}
            Ok(Some(_)) => {
                return Err(Error::invalid(
                    shown,
                    "is there already and not empty: give a new folder",
                ));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                return Err(Error::invalid(shown, "is a file: give a new folder"));
            }
            Err(e) => return Err(cannot(e)),
        }
        let name = found
            .file_name()
            .ok_or_else(|| Error::invalid(shown, "has no name: give a new folder"))?
            .to_string_lossy();
        let temporary = found.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let mut folder = Self {
            place: found,
            temporary,
            made: Vec::new(),
            committed: false,
        };
        folder.make_parents().map_err(cannot)?;
        std::fs::create_dir(&folder.temporary).map_err(cannot)?;
        Ok(folder)
    }

    fn make_parents(&mut self) -> std::io::Result<()> {
        let above: Vec<PathBuf> = self.place.ancestors().skip(1).map(Path::to_owned).collect();
        for path in above.into_iter().rev() {
            if !path.as_os_str().is_empty() && !path.exists() {
                std::fs::create_dir(&path)?;
                self.made.push(path);
            }
        }
        Ok(())
    }

    /// Where its files are to be written.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// The system refuses, or something came to be there meanwhile.
    pub(super) fn commit(mut self) -> Result<()> {
        let cannot = |e| Error::io("write", &self.place, e);
        match std::fs::remove_dir(&self.place) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(cannot(e)),
            _ => {}
        }
        std::fs::rename(&self.temporary, &self.place).map_err(cannot)?;
        self.committed = true;
        // The rename itself lasts once the folder above is synced; folders of some systems cannot be.
        if let Some(above) = self.place.parent().and_then(|above| std::fs::File::open(above).ok()) {
            let _ = above.sync_all();
        }
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_dir_all(&self.temporary);
            for path in self.made.iter().rev() {
                // Only succeeds on a folder that is still empty.
                let _ = std::fs::remove_dir(path);
            }
        }
    }
}
