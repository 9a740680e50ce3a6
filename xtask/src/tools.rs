//! Programs and fonts that some tests need, and how to get them.

use crate::drivers::{self, Driver};
use crate::process;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Something that tests use and cargo cannot build.
struct Tool {
    /// Its Debian package.
    package: &'static str,
    /// What it is used for.
    purpose: &'static str,
    /// How to see whether it is there.
    probe: Probe,
    /// Whether tests fail without it (else they are skipped and say so).
    required: bool,
}

enum Probe {
    /// A command that succeeds, and a line that its output must have, if any.
    Command(&'static [&'static str], Option<&'static str>),
    /// A Vulkan driver.
    Driver(&'static Driver),
    /// Something that is looked for, of the trainer's feature `mpi`.
    Mpi(fn() -> bool),
}

const TOOLS: [Tool; 6] = [
    Tool {
        package: "tesseract-ocr",
        purpose: "OCR: reads drawn pages back",
        probe: Probe::Command(&["tesseract", "--list-langs"], Some("eng")),
        required: true,
    },
    Tool {
        package: "fonts-noto-cjk",
        purpose: "a Chinese font: draws pages through the fallback chain",
        probe: Probe::Command(&["dpkg", "--status", "fonts-noto-cjk"], None),
        required: false,
    },
    Tool {
        package: "mesa-vulkan-drivers",
        purpose: "lavapipe: a GPU in software",
        probe: Probe::Driver(&drivers::LAVAPIPE),
        required: true,
    },
    Tool {
        package: "chromium",
        purpose: "SwiftShader: another GPU in software, and the browser that runs the page",
        probe: Probe::Driver(&drivers::SWIFTSHADER),
        required: true,
    },
    Tool {
        package: "libopenmpi-dev",
        purpose: "MPI: builds and tests the trainer's feature `mpi`",
        probe: Probe::Mpi(|| has("mpicc") && has("mpirun")),
        required: true,
    },
    Tool {
        package: "libclang-dev",
        purpose: "libclang: the build of feature `mpi` reads MPI's headers with it",
        probe: Probe::Mpi(libclang),
        required: true,
    },
];

/// Whether a libclang is where builds look for one.
fn libclang() -> bool {
    let named = std::env::var_os("LIBCLANG_PATH").is_some();
    let llvm = |place: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().join("lib")).collect()
    };
    let fixed = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib"].map(PathBuf::from);
    // Debian's are in /usr/lib/llvm-14/lib, or in the folder of the architecture.
    let mut places: Vec<PathBuf> = fixed.into_iter().chain(llvm("/usr/lib")).collect();
    let here = std::env::consts::ARCH;
    places.push(format!("/usr/lib/{here}-linux-gnu").into());
    named || places.iter().any(|place| holds_libclang(place))
}

fn holds_libclang(place: &Path) -> bool {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        let rest = name.strip_prefix("libclang");
        // Not `libclang-cpp`, and not the runtime's archives.
        rest.is_some_and(|rest| {
            (rest.starts_with(".so") || rest.contains(".so.") || rest == ".dylib") && !rest.contains("cpp")
        })
    })
}

/// Whether the tests of the trainer's feature `mpi` may be left out: `FOLIO_ALLOW_NO_MPI=1`.
fn allowed_without_mpi() -> bool {
    std::env::var("FOLIO_ALLOW_NO_MPI").is_ok_and(|value| value == "1")
}

/// Whether feature `mpi` can be built and run.
pub(crate) fn mpi() -> bool {
    let mut tools = TOOLS.iter().filter(|tool| matches!(tool.probe, Probe::Mpi(_)));
    tools.all(Tool::present)
}

impl Tool {
    fn present(&self) -> bool {
        let (command, expect) = match self.probe {
            Probe::Command(command, expect) => (command, expect),
            Probe::Driver(driver) => return driver.find().is_some(),
            Probe::Mpi(found) => return found(),
        };
        let probed = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .output();
        probed.is_ok_and(|output| {
            let shown = [output.stdout, output.stderr].concat();
            output.status.success()
                && expect.is_none_or(|line| String::from_utf8_lossy(&shown).lines().any(|l| l.trim() == line))
        })
    }

    /// Whether the tests must have it, on this occasion.
    fn needed(&self) -> bool {
        self.required
            && match self.probe {
                Probe::Command(..) => true,
                Probe::Driver(_) => !drivers::allowed_without(),
                Probe::Mpi(_) => !allowed_without_mpi(),
            }
    }
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

/// Checks for everything that tests need, those of the trainer's features only `with_mpi`; with `install`, installs what is missing (Debian and Ubuntu).
///
/// # Errors
/// A required tool is missing, or could not be installed.
pub(crate) fn ensure(install: bool, with_mpi: bool) -> Result<()> {
    let wanted = |tool: &&Tool| with_mpi || !matches!(tool.probe, Probe::Mpi(_));
    let mut missing: Vec<&Tool> = TOOLS.iter().filter(wanted).filter(|tool| !tool.present()).collect();
    if install && !missing.is_empty() {
        apt_get(&["update", "--quiet"])?;
        for tool in &missing {
            let installed = apt_get(&["install", "--yes", "--no-install-recommends", "--quiet", tool.package]);
            if tool.needed() {
                installed?;
            } else if let Err(error) = installed {
                eprintln!("warning: going on without {}: {error:#}", tool.package);
            }
        }
        missing.retain(|tool| !tool.present());
    }
    for tool in missing.iter().filter(|tool| !tool.needed()) {
        eprintln!(
            "note: {} is not installed ({}); tests that need it are skipped",
            tool.package, tool.purpose
        );
    }
    let needed: Vec<&str> = missing
        .iter()
        .filter(|tool| tool.needed())
        .map(|tool| tool.package)
        .collect();
    if !needed.is_empty() {
        let names = needed.join(" ");
        bail!("the tests need {names}: run `cargo xtask test --install`, or install it another way and try again");
    }
    Ok(())
}

/// Runs apt-get without questions, through sudo for a user who is not root.
fn apt_get(args: &[&str]) -> Result<()> {
    let uid = Command::new("id").arg("-u").output();
    let root = uid.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if root { "env" } else { "sudo" });
    command
        .arg("DEBIAN_FRONTEND=noninteractive")
        .arg("apt-get")
        .args(args)
        .stdin(Stdio::null());
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_relatives() {
        let dir = std::env::temp_dir().join(format!("folio-libclang-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap_or_default();
        for name in ["libclang-cpp.so.14", "libclang.a", "libclangAST.a"] {
            std::fs::write(dir.join(name), "").unwrap_or_default();
        }
        assert!(!holds_libclang(&dir));
        std::fs::write(dir.join("libclang-14.so.1"), "").unwrap_or_default();
        assert!(holds_libclang(&dir));
        std::fs::remove_dir_all(&dir).unwrap_or_default();
        assert!(!holds_libclang(&dir));
    }
}
