//! Vulkan drivers that are GPUs in software: the GPU tests run on each.

use std::path::{Path, PathBuf};

/// A driver that is found by its ICD file.
pub(crate) struct Driver {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How the file's name begins; it ends with `.json`.
    stem: &'static str,
    /// Where the file is on usual systems.
    places: &'static [&'static str],
}

/// Mesa's.
pub(crate) const LAVAPIPE: Driver = Driver {
    name: "lavapipe",
    stem: "lvp_icd",
    places: &[
        "/usr/share/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
    ],
};

/// The one that comes with Chromium.
pub(crate) const SWIFTSHADER: Driver = Driver {
    name: "SwiftShader",
    stem: "vk_swiftshader_icd",
    places: &[
        "/usr/lib/chromium",
        "/usr/lib/chromium-browser",
        "/usr/lib64/chromium-browser",
        "/opt/google/chrome",
        "/usr/share/vulkan/icd.d",
    ],
};

impl Driver {
    /// Its ICD file.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.places.iter().find_map(|place| self.find_in(Path::new(place)))
    }

    fn find_in(&self, place: &Path) -> Option<PathBuf> {
        let entries = std::fs::read_dir(place).ok()?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(self.stem) && name.ends_with(".json")
        })
    }
}

/// Whether the GPU tests may be left out where there is no adapter: `FOLIO_ALLOW_NO_GPU=1`.
pub(crate) fn allowed_without() -> bool {
    std::env::var("FOLIO_ALLOW_NO_GPU").is_ok_and(|value| value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_icd_file_whatever_its_architecture() {
        let dir = std::env::temp_dir().join(format!("folio-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap_or_default();
        assert_eq!(LAVAPIPE.find_in(&dir), None);
        for name in ["intel_icd.x86_64.json", "lvp_icd.so", "lvp_icd.aarch64.json"] {
            std::fs::write(dir.join(name), "{}").unwrap_or_default();
        }
        assert_eq!(LAVAPIPE.find_in(&dir), Some(dir.join("lvp_icd.aarch64.json")));
        assert_eq!(LAVAPIPE.find_in(&dir.join("nowhere")), None);
        std::fs::remove_dir_all(&dir).unwrap_or_default();
    }
}
