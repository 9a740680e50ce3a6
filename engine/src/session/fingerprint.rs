//! Which model a session file belongs to.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::gguf::{Gguf, is_gguf};
use crate::{Error, Result};

const EDGE: u64 = 64 << 10;
const LONGEST_HEADER: u64 = 100 << 20;

/// [`fingerprint_of`] a model folder: its `config.json`, `tokenizer.json` and `model.safetensors` (without it, every
/// `*.safetensors`). Of a GGUF file: SHA-256 over its length, all that stands before the tensors, and the last 64 KiB.
///
/// # Errors
/// A file that cannot be read.
pub fn fingerprint(dir: &Path) -> Result<String> {
    if is_gguf(dir) {
        return of_gguf(dir);
    }
    let text = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|e| Error::io("read", &path, e))
    };
    let (config, tokenizer) = (text("config.json")?, text("tokenizer.json")?);
    let (mut files, mut weights) = (Vec::new(), Vec::new());
    for path in weight_files(dir)? {
        let bad = |e| Error::io("read", &path, e);
        let file = File::open(&path).map_err(bad)?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        weights.push((name, file.metadata().map_err(bad)?.len()));
        files.push((path, file));
    }
    fingerprint_of(&config, &tokenizer, &weights, &mut |i, range| {
        let (path, file) = &mut files[i];
        read(file, range).map_err(|e| Error::io("read", &path, e))
    })
}

fn of_gguf(path: &Path) -> Result<String> {
    let gguf = Gguf::open(path)?;
    let bad = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(bad)?;
    let length = file.metadata().map_err(bad)?.len();
    let end = read(&mut file, length.saturating_sub(EDGE)..length).map_err(bad)?;
    let hash = Sha256::new()
        .chain_update(length.to_le_bytes())
        .chain_update(gguf.head())
        .chain_update(end);
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn read(file: &mut File, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// SHA-256 in hex over a model: `config` and `tokenizer` whole; of every weights file (in the order of their names) name,
/// length, header, and the first and last 64 KiB of data (training changes every tensor, so the edges tell models apart).
///
/// `weights` are names and lengths, `read` gives bytes of one.
///
/// # Errors
/// What `read` says.
pub fn fingerprint_of(
    config: &[u8],
    tokenizer: &[u8],
    weights: &[(Vec<u8>, u64)],
    read: &mut dyn FnMut(usize, Range<u64>) -> Result<Vec<u8>>,
) -> Result<String> {
    let mut hash = Sha256::new();
    for bytes in [config, tokenizer] {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    for (i, (name, length)) in weights.iter().enumerate() {
        hash.update(name);
        hash.update(length.to_le_bytes());
        let header = match read(i, 0..8.min(*length))?.first_chunk() {
            Some(first) => u64::from_le_bytes(*first),
            None => 0,
        };
        hash.update(read(i, 0..(8 + header.min(LONGEST_HEADER) + EDGE).min(*length))?);
        hash.update(read(i, length.saturating_sub(EDGE)..*length)?);
    }
    Ok(hex(hash))
}

fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    // As a checkpoint is opened: the single file, where it is there.
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io("read", dir, e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    Ok(files)
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
