//! Files to documents.

use super::files::{Compression, Format, Source};
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The file it came from.
    pub path: PathBuf,
    /// Its line (or row) there, from 1 (1 for a text file).
    pub line: usize,
    /// The text, line ends as `\n`.
    pub text: String,
}

/// Gives every document of `sources` that has text to `each`, in order.
///
/// # Errors
/// A file that cannot be read or unpacked, bytes that are not UTF-8, a line that is not a JSON object with a `text`
/// string; the message names the file and the line or byte. Whatever `each` returns.
pub fn read_documents(sources: &[Source], each: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
    sources.iter().try_for_each(|source| match source.format {
        Format::JsonLines => read_lines(source, each),
        Format::Text => read_text(source, each),
        Format::Parquet => super::parquet::read(&source.path, &mut |row, text| document(&source.path, row, text, each)),
    })
}

fn open(source: &Source) -> Result<Box<dyn BufRead>> {
    let fail = |e| Error::io("read", &source.path, e);
    let file = BufReader::with_capacity(1 << 20, File::open(&source.path).map_err(fail)?);
    Ok(match source.compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Zstd => Box::new(BufReader::new(zstd::Decoder::with_buffer(file).map_err(fail)?)),
    })
}

/// A line of a data file: what else it holds (title, author, …) is of no use here.
#[derive(serde::Deserialize)]
struct Line {
    text: String,
}

fn read_lines(source: &Source, each: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
    each_line(source, &mut |line, text| {
        let Line { text } = serde_json::from_str(text).map_err(|e| {
            let column = e.column();
            Error::invalid(
                format!("{}, line {line}", source.path.display()),
                format!("not a JSON object with a \"text\" string (column {column}: {e})"),
            )
        })?;
        document(&source.path, line, text, each)
    })
}

/// Every line that is not empty, with its number.
fn each_line(source: &Source, each: &mut dyn FnMut(usize, &str) -> Result<()>) -> Result<()> {
    let mut reader = open(source)?;
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::io(unpack(source), &source.path, e))?
            == 0
        {
            break;
        }
        let place = || format!("{}, line {line}", source.path.display());
        let text = without_bom(utf8(&bytes, place)?);
        if !text.trim().is_empty() {
            each(line, text)?;
        }
    }
    Ok(())
}

/// Gives every line of `sources` that is not empty, read as JSON of type `T`, to `each`, with its file and its place
/// (file and line) in words. `expected` says what a line must hold.
///
/// # Errors
/// As [`read_documents`]; a text file among the sources. Whatever `each` returns.
pub(super) fn json_lines<T: serde::de::DeserializeOwned>(
    sources: &[Source],
    expected: &str,
    each: &mut dyn FnMut(&Path, String, T) -> Result<()>,
) -> Result<()> {
    for source in sources {
        if source.format != Format::JsonLines {
            let what = format!("is no .jsonl: every line must be an object with {expected}");
            return Err(Error::invalid(source.path.display().to_string(), what));
        }
        each_line(source, &mut |line, text| {
            let place = format!("{}, line {line}", source.path.display());
            let value = serde_json::from_str(text).map_err(|e| {
                let what = format!("not a JSON object with {expected} (column {}: {e})", e.column());
                Error::invalid(&place, what)
            })?;
            each(&source.path, place, value)
        })?;
    }
    Ok(())
}

fn read_text(source: &Source, each: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    open(source)?
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(unpack(source), &source.path, e))?;
    let text = without_bom(utf8(&bytes, || source.path.display().to_string())?);
    document(&source.path, 1, text.to_owned(), each)
}

fn document(path: &Path, line: usize, text: String, each: &mut dyn FnMut(Document) -> Result<()>) -> Result<()> {
    let text = if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    };
    if text.trim().is_empty() {
        Ok(())
    } else {
        each(Document {
            path: path.to_owned(),
            line,
            text,
        })
    }
}

fn unpack(source: &Source) -> &'static str {
    if source.compression == Compression::None {
        "read"
    } else {
        "unpack"
    }
}

fn utf8(bytes: &[u8], place: impl Fn() -> String) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        Error::invalid(
            place(),
            format!("byte {} (0x{byte:02x}) is not UTF-8: convert the file to UTF-8", at + 1),
        )
    })
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::files::sources;
    use super::*;
    use std::io::Write;

    fn read(name: &str, bytes: &[u8]) -> Result<Vec<(usize, String)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut found = Vec::new();
        read_documents(&sources(&[path])?, &mut |d| {
            found.push((d.line, d.text));
            Ok(())
        })?;
        Ok(found)
    }

    const LINES: &str = "{\"title\": \"A\", \"text\": \"one\\r\\ntwo\"}\n\n{\"text\": \"h\u{e9}\"}\n{\"text\": \"  \"}";

    fn expected() -> Vec<(usize, String)> {
        vec![(1, "one\ntwo".to_owned()), (3, "h\u{e9}".to_owned())]
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn json_lines_plain_and_packed() {
        assert_eq!(read("a.jsonl", LINES.as_bytes()).unwrap(), expected());
        assert_eq!(
            read("a.jsonl.zst", &zstd::encode_all(LINES.as_bytes(), 1).unwrap()).unwrap(),
            expected()
        );
        let (first, second) = LINES.as_bytes().split_at(20);
        assert_eq!(
            read("a.jsonl.gz", &[gz(first), gz(second)].concat()).unwrap(),
            expected()
        );
    }

    #[test]
    fn text_files_are_one_document() {
        assert_eq!(
            read("a.txt", b"\xef\xbb\xbfone\r\ntwo\n").unwrap(),
            [(1, "one\ntwo\n".to_owned())]
        );
        assert_eq!(read("a.txt.gz", &gz(b"one")).unwrap(), [(1, "one".to_owned())]);
        assert_eq!(read("a.txt", b" \n").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = |name: &str, bytes: &[u8]| read(name, bytes).unwrap_err().to_string();
        let utf = error("a.jsonl", b"{\"text\": \"fine\"}\n{\"text\": \"h\xe9\"}");
        assert!(
            utf.contains("a.jsonl, line 2") && utf.contains("byte 12 (0xe9)"),
            "{utf}"
        );
        assert!(error("a.txt", b"h\xe9").contains("byte 2 (0xe9)"));
        let json = error("a.jsonl", b"{\"text\": \"fine\"}\n{\"text\": }\n");
        assert!(json.contains("a.jsonl, line 2"), "{json}");
        assert!(error("a.jsonl", b"{\"txt\": \"x\"}").contains("missing field `text`"));
        let packed = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
        assert!(error("a.jsonl.zst", &packed[..packed.len() - 5]).contains("cannot unpack"));
        assert!(error("a.txt.gz", b"not gzip at all").contains("cannot unpack"));
    }
}
