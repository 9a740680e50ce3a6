//! The models that the page offers, with sizes and hashes.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What a browser needs of a model folder.
const FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "model.safetensors",
];

/// Copies the models `names` of `models` to `dist/models` and lists them in `dist/manifest.json`.
pub(super) fn write(models: &Path, names: &[&str], dist: &Path) -> Result<()> {
    let list = names
        .iter()
        .map(|name| model(&models.join(name), name, dist))
        .collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string_pretty(&json!({ "models": list }))?;
    std::fs::write(dist.join("manifest.json"), json + "\n").context("cannot write manifest.json")
}

fn model(from: &Path, name: &str, dist: &Path) -> Result<Value> {
    let path = format!("models/{name}/");
    let to = dist.join(&path);
    std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    if !from.join("model.safetensors").exists() {
        bail!("{}: a model of the page is one file, model.safetensors", from.display());
    }
    let mut files = Vec::new();
    for file in FILES.iter().filter(|file| from.join(file).exists()) {
        let bytes = std::fs::read(from.join(file)).with_context(|| format!("cannot read {file} of {name}"))?;
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        files.push(json!({ "name": file, "bytes": bytes.len(), "sha256": hash }));
        std::fs::write(to.join(file), bytes).with_context(|| format!("cannot write {file} of {name}"))?;
    }
    Ok(json!({ "id": name, "name": name, "path": path, "files": files }))
}
