//! GGUF files: what is in them is given, what is wrong with them is told, and nothing in them does harm.

mod damage;
mod models;
mod reading;
mod text;
mod writer;

use folio_engine::Error;
use std::path::PathBuf;
use tempfile::TempDir;
use writer::File;

/// A folder with the file in it.
fn put(file: &File) -> (TempDir, PathBuf) {
    put_bytes(&file.bytes())
}

fn put_bytes(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("folder");
    // What it is called says nothing.
    let path = dir.path().join("model.bin");
    std::fs::write(&path, bytes).expect("write");
    (dir, path)
}

/// The result is an error of one line that says all of `parts`.
fn says<T>(result: Result<T, Error>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("must be refused: {parts:?}")
    };
    let error = error.to_string();
    assert!(!error.contains('\n') && error.len() < 500, "{error}");
    for part in parts {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

/// For `fuzz/seeds.sh`.
#[test]
#[ignore = "writes seeds for fuzzing to $FOLIO_SEEDS"]
fn seeds() {
    use folio_engine::config::TextModelType;
    let folder = PathBuf::from(std::env::var_os("FOLIO_SEEDS").expect("FOLIO_SEEDS")).join("gguf");
    for (name, model_type) in [("llama", TextModelType::Llama), ("qwen3", TextModelType::Qwen3)] {
        std::fs::write(folder.join(name), models::file(model_type, true).bytes()).expect("write");
    }
}
