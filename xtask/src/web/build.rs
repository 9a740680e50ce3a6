//! From the crate and the site's files to `web-demo/dist`.

use super::{budget, files, manifest};
use crate::{process, tools};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// The folder of static files.
pub(crate) fn dist() -> PathBuf {
    process::root().join("web-demo/dist")
}

/// Compiles, binds, optimises where `wasm-opt` is present, and copies; a package over its budget is an error.
pub(super) fn build() -> Result<()> {
    ensure_target()?;
    process::run(&mut process::cargo(&[
        "build",
        "--profile",
        "web",
        "--package",
        "folio-web",
        "--target",
        TARGET,
    ]))?;
    let compiled = process::target_dir()?.join(TARGET).join("web/folio_web.wasm");

    // Put together beside `dist` and swapped in whole, so that a failed build leaves the former one.
    let (dist, fresh) = (dist(), process::root().join("web-demo/dist.partial"));
    remove(&fresh)?;
    copy_folder(&process::root().join("web-demo/site"), &fresh)?;
    let mut bindgen = process::cargo(&["run", "--quiet", "--release", "--package", "xtask"]);
    bindgen.args(["--features", "web", "--bin", "web-bindgen", "--"]);
    process::run(bindgen.arg(&compiled).arg(&fresh))?;
    let wasm = fresh.join("engine_bg.wasm");
    optimise(&wasm)?;
    budget::check(&wasm)?;
    manifest::write(&process::root().join("models"), &["folio-nano"], &fresh)?;
    files::write(&fresh)?;
    remove(&dist)?;
    std::fs::rename(&fresh, &dist).with_context(|| format!("cannot move {} into place", fresh.display()))?;
    eprintln!("the page is in {}", dist.display());
    Ok(())
}

/// rustup's name for the browser's machine code.
fn ensure_target() -> Result<()> {
    let libdir = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(process::root())
        .output()
        .context("cannot run rustc")?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&libdir.stdout).trim());
    if libdir.is_dir() {
        return Ok(());
    }
    process::run(
        Command::new("rustup")
            .args(["target", "add", TARGET])
            .current_dir(process::root()),
    )
    .with_context(|| format!("the Rust target {TARGET} is missing"))
}

fn optimise(wasm: &Path) -> Result<()> {
    if !tools::has("wasm-opt") {
        eprintln!("note: wasm-opt is not installed: the package stays a little larger");
        return Ok(());
    }
    // What the compiler itself uses: nothing that a browser of the last years could refuse.
    let features = [
        "--enable-bulk-memory",
        "--enable-bulk-memory-opt",
        "--enable-sign-ext",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-multivalue",
    ];
    let mut command = Command::new("wasm-opt");
    process::run(command.arg("-O3").args(features).arg("-o").arg(wasm).arg(wasm))
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Copies a folder, without its tests.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == "tests" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            std::fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
