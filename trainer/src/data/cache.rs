//! Tokenised data on disk, so that a run that starts again need not tokenise again.

use super::corpus::{Corpus, Ids, MappedIds};
use super::files::Source;
use crate::files::write_whole;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// First bytes of a cache file; the last is the format's version.
const MAGIC: &[u8; 8] = b"FOLIOID\x01";

/// A hexadecimal key of everything that the ids depend on.
pub(super) fn key(sources: &[Source], tokenizer_json: &[u8], eos: Option<u32>) -> Result<String> {
    let mut sha = Sha256::new();
    sha.update(Sha256::digest(tokenizer_json));
    sha.update(eos.map_or(u64::MAX, u64::from).to_le_bytes());
    for source in sources {
        let mut file = Sha256::new();
        let fail = |e| Error::io("read", &source.path, e);
        std::io::copy(&mut File::open(&source.path).map_err(fail)?, &mut file).map_err(fail)?;
        sha.update(file.finalize());
        // The same bytes under another format are other documents.
        sha.update([source.format as u8, source.compression as u8]);
    }
    Ok(hex(&sha.finalize()))
}

/// As [`key`], of one file that may be too large to be read just to name it: by its path, size and time of change.
pub(super) fn stamp(source: &Source, tokenizer_json: &[u8], eos: Option<u32>) -> Result<String> {
    let fail = |e| Error::io("read", &source.path, e);
    let meta = std::fs::metadata(&source.path).map_err(fail)?;
    let path = source.path.canonicalize().map_err(fail)?;
    let changed = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_nanos());
    let mut sha = Sha256::new();
    sha.update(Sha256::digest(tokenizer_json));
    sha.update(eos.map_or(u64::MAX, u64::from).to_le_bytes());
    sha.update(path.as_os_str().as_encoded_bytes());
    sha.update(meta.len().to_le_bytes());
    sha.update(changed.to_le_bytes());
    sha.update([source.format as u8, source.compression as u8]);
    Ok(hex(&sha.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The corpus in `file`, or `None` if there is none or it is damaged (it is then made anew).
pub(super) fn load(file: &Path) -> Option<Corpus> {
    let file = File::open(file).ok()?;
    // SAFETY: cache files are written beside and renamed into place, never changed; whoever truncates one under a
    // running program gets what a truncated program file would give.
    let map = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    let rest = map.strip_prefix(MAGIC)?;
    let (width, rest) = number(rest)?;
    let (documents, rest) = number(rest)?;
    let (tokens, rest) = number(rest)?;
    let split = usize::try_from(documents).ok()?.checked_mul(8)?;
    let (ends, ids) = rest.split_at_checked(split)?;
    if !matches!(width, 2 | 4) || ids.len() as u64 != tokens.checked_mul(width)? {
        return None;
    }
    let ends: Vec<u64> = ends.as_chunks().0.iter().map(|&b| u64::from_le_bytes(b)).collect();
    let start = map.len() - ids.len();
    let (width, len) = (width as usize, tokens as usize);
    let sound = ends.is_sorted() && ends.last().copied() == Some(tokens);
    let ids = Ids::Mapped(MappedIds {
        file: Arc::new(map),
        start,
        len,
        width,
    });
    sound.then_some(Corpus { ids, ends })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*head), rest))
}

/// Writes `corpus` to `file`.
pub(super) fn store(file: &Path, corpus: &Corpus) -> Result<()> {
    let width: u64 = match &corpus.ids {
        Ids::U16(_) => 2,
        Ids::U32(_) => 4,
        Ids::Mapped(ids) => ids.width as u64,
    };
    let mut bytes = MAGIC.to_vec();
    for n in [width, corpus.ends.len() as u64, corpus.ids.len() as u64]
        .iter()
        .chain(&corpus.ends)
    {
        bytes.extend(n.to_le_bytes());
    }
    match &corpus.ids {
        Ids::U16(ids) => bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        Ids::U32(ids) => bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        Ids::Mapped(ids) => bytes.extend_from_slice(&ids.file[ids.start..]),
    }
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    }
    write_whole(file, &bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_return_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cache/a.ids");
        for ids in [Ids::U16(vec![1, 2, 65_535]), Ids::U32(vec![1, 70_000, 3])] {
            let corpus = Corpus { ids, ends: vec![2, 3] };
            store(&file, &corpus).unwrap();
            assert_eq!(load(&file), Some(corpus));
        }
        let bytes = std::fs::read(&file).unwrap();
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..20], &bytes[1..], &[]] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(load(&file), None);
        }
    }
}
