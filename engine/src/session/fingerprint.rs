//! Which model a session file belongs to.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

const EDGE: u64 = 64 << 10;
const LONGEST_HEADER: u64 = 100 << 20;

/// SHA-256 in hex over a model folder: `config.json` and `tokenizer.json` whole; of every `*.safetensors` name, length,
/// header, and the first and last 64 KiB of data (training changes every tensor, so the edges tell models apart).
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(dir: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in ["config.json", "tokenizer.json"] {
        let path = dir.join(name);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    for path in weight_files(dir)? {
        hash_edges(&path, &mut hash).map_err(|e| Error::io("read", &path, e))?;
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io("read", dir, e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    Ok(files)
}

fn hash_edges(path: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hash.update(length.to_le_bytes());
    let mut word = [0u8; 8];
    let header = if length >= 8 {
        file.read_exact(&mut word).map(|()| u64::from_le_bytes(word))?
    } else {
        0
    };
    file.rewind()?;
    let mut bytes = Vec::new();
    (&mut file)
        .take(8 + header.min(LONGEST_HEADER) + EDGE)
        .read_to_end(&mut bytes)?;
    hash.update(&bytes);
    bytes.clear();
    file.seek(SeekFrom::Start(length.saturating_sub(EDGE)))?;
    file.take(EDGE).read_to_end(&mut bytes)?;
    hash.update(&bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_with_config_and_weights() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("config.json", b"{}");
        write("tokenizer.json", b"{}");
        let mut weights = vec![0u8; 300_000];
        weights[0] = 16;
        write("model.safetensors", &weights);
        let a = fingerprint(dir.path()).unwrap();
        assert_eq!(a, fingerprint(dir.path()).unwrap());
        weights[299_999] = 1;
        write("model.safetensors", &weights);
        let b = fingerprint(dir.path()).unwrap();
        assert_ne!(a, b);
        write("config.json", b"{ }");
        assert_ne!(b, fingerprint(dir.path()).unwrap());
        std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
        assert!(
            fingerprint(dir.path())
                .unwrap_err()
                .to_string()
                .contains("tokenizer.json")
        );
    }
}
