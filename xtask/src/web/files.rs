//! `files.js`: the page's own files with their hashes, for the service worker to keep as one version.

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes `dist/files.js`.
pub(super) fn write(dist: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    collect(dist, "", &mut files)?;
    let all: String = files.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
    let version: String = Sha256::digest(all).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let list = serde_json::to_string_pretty(&json!({ "version": version, "files": files }))?;
    let path = dist.join("files.js");
    std::fs::write(&path, format!("self.folioFiles = {list};\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Models are kept elsewhere, the service worker by the browser itself, and types are for developers.
        if name == "models" || name == "sw.js" || name.ends_with(".d.ts") {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else {
            let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.insert(
                name,
                format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(bytes))),
            );
        }
    }
    Ok(())
}
