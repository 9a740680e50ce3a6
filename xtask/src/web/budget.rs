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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_over_either_budget_fails_the_build() {
        let dir = std::env::temp_dir().join(format!("folio-budget-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap_or_default();
        let check = |bytes: Vec<u8>| {
            let path = dir.join("x.wasm");
            std::fs::write(&path, bytes).and(Ok(())).map_err(anyhow::Error::from)?;
            super::check(&path)
        };
        // A multiplicative hash: bytes that gzip cannot shorten.
        let noise = |n: u32| {
            (0..n)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (i.wrapping_mul(i) >> 7) as u8)
                .collect()
        };
        assert!(check(vec![0; RAW]).is_ok());
        assert!(check(vec![0; RAW + 1]).is_err(), "too long");
        assert!(check(noise(2_000_000)).is_err(), "too long when compressed");
        std::fs::remove_dir_all(&dir).unwrap_or_default();
    }
}
