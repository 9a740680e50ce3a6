//! Programs and fonts that some tests need, and how to get them.

use crate::drivers::{self, Driver};
use crate::process;
use anyhow::{Result, bail};
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
}

const TOOLS: [Tool; 4] = [
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
];

impl Tool {
    fn present(&self) -> bool {
        let (command, expect) = match self.probe {
            Probe::Command(command, expect) => (command, expect),
            Probe::Driver(driver) => return driver.find().is_some(),
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
        self.required && !(matches!(self.probe, Probe::Driver(_)) && drivers::allowed_without())
    }
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

/// Checks for everything that tests need; with `install`, installs what is missing (Debian and Ubuntu).
///
/// # Errors
/// A required tool is missing, or could not be installed.
pub(crate) fn ensure(install: bool) -> Result<()> {
    let mut missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !tool.present()).collect();
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
