//! Checks every variant of every kernel and writes the table that `src/lib.rs` includes.

#![expect(
    clippy::print_stderr,
    reason = "a build script is a program, and this is how it says what is wrong"
)]

#[path = "build/mod.rs"]
mod build;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use build::preprocess::Sources;

fn main() -> ExitCode {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // Nothing is printed for Cargo: it then runs this again when any file of the package changes, new kernels included.
    match run(&root, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, out: &Path) -> Result<(), String> {
    let mut sources = Sources::new();
    read(root, "", &mut sources).map_err(|e| format!("shaders: {e}"))?;
    read(root, "shared/", &mut sources).map_err(|e| format!("shaders/shared: {e}"))?;
    let table = build::table(&sources).map_err(|report| format!("WGSL:\n{report}"))?;
    for variant in table.files.iter().flat_map(|file| &file.variants) {
        write(&out.join(build::generate::source_name(variant)), &variant.source)?;
    }
    write(&out.join("table.rs"), &build::generate::rust(&table))
}

/// Adds the WGSL files of a folder.
fn read(root: &Path, folder: &str, sources: &mut Sources) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.ends_with(".wgsl") {
            sources.insert(format!("{folder}{name}"), fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
