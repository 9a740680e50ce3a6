//! How large the package may be: a visitor waits for it.

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::Path;

/// Bytes of the `.wasm`.
const RAW: usize = 4_000_000;
/// Bytes of it as servers send it.
const GZIPPED: usize = 1_400_000;

/// Prints both sizes; over the budget is an error.
pub(super) fn check(wasm: &Path) -> Result<()> {
    let bytes = std::fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes)?;
    let (raw, gzipped) = (bytes.len(), encoder.finish()?.len());
    println!("engine_bg.wasm: {raw} bytes (of {RAW}), {gzipped} gzipped (of {GZIPPED})");
    if raw > RAW || gzipped > GZIPPED {
        bail!("the package is over its budget: find what grew (twiggy, cargo bloat), or argue for a larger one");
    }
    Ok(())
}
