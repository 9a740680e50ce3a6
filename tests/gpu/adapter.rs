//! The adapters that the suite runs on.

// Notes for whoever reads the output of the tests.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use folio_engine::gpu::{AdapterReport, GpuOptions, Style, WgpuMachine};
use folio_tests::now;
use std::io::Write;

/// An adapter of this computer.
pub(crate) struct Adapter {
    index: usize,
    pub(crate) report: AdapterReport,
}

impl Adapter {
    /// The styles that it can do.
    pub(crate) fn styles(&self) -> Vec<Style> {
        let can = |style: &Style| !style.subgroups() || self.report.subgroups;
        Style::ALL.into_iter().filter(can).collect()
    }

    /// A machine on it, checked and poisoned.
    pub(crate) fn open(&self, style: Style) -> WgpuMachine {
        self.open_with(GpuOptions {
            style: Some(style),
            ..options()
        })
    }

    pub(crate) fn open_with(&self, options: GpuOptions) -> WgpuMachine {
        now(WgpuMachine::open_at(self.index, options)).unwrap()
    }
}

/// How the suite opens adapters.
pub(crate) fn options() -> GpuOptions {
    GpuOptions {
        allow_software: true,
        checked: true,
        poison: true,
        ..GpuOptions::default()
    }
}

/// Runs `test` on every adapter, and notes each in `$FOLIO_GPU_LOG`: `cargo xtask test` counts them.
///
/// # Panics
/// If there is no adapter, unless `FOLIO_ALLOW_NO_GPU=1`.
pub(crate) fn each(name: &str, test: impl Fn(&Adapter)) {
    let mut ran = 0;
    for (index, report) in now(WgpuMachine::adapters()).into_iter().enumerate() {
        if let Some(what) = &report.lacks {
            eprintln!("note: {} is left out: it has {what}", report.name);
            continue;
        }
        let adapter = Adapter { index, report };
        test(&adapter);
        note(&adapter.report, name);
        ran += 1;
    }
    if ran == 0 {
        let allowed = std::env::var("FOLIO_ALLOW_NO_GPU").is_ok_and(|v| v == "1");
        assert!(
            allowed,
            "no GPU adapter: run `cargo xtask test --install`, or install a Vulkan driver (on Debian, apt-get install \
             mesa-vulkan-drivers has one in software), or set FOLIO_ALLOW_NO_GPU=1 to go without these tests"
        );
        eprintln!("note: no GPU adapter, FOLIO_ALLOW_NO_GPU=1: {name} did not run");
    }
}

/// One line a test and adapter.
fn note(report: &AdapterReport, test: &str) {
    println!("{test} ran on {} ({})", report.name, report.backend);
    if let Some(path) = std::env::var_os("FOLIO_GPU_LOG") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        // One write, so that lines of tests that run beside each other do not mix.
        file.write_all(format!("{} ({})\t{test}\n", report.name, report.backend).as_bytes())
            .unwrap();
    }
}
