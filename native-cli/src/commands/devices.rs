//! `folio devices`.

use std::process::ExitCode;

use folio_engine::Wait;
use folio_engine::session::self_test;

use crate::failure::FAILED;
use crate::output;

/// List the devices that this build can run on, each with a known-answer self-test.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The self-test runs a tiny model with known weights over text, a folded page and text again, and compares the
logits. A device that fails it is never used."
)]
pub(crate) struct Args {
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Report {
    /// What `--device` calls it.
    device: &'static str,
    runner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu: Option<Gpu>,
    self_test: &'static str,
    max_deviation: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(serde::Serialize)]
struct Gpu {
    backend: String,
    software: bool,
    subgroups: bool,
    max_storage_buffer_binding_size: u64,
}

impl Report {
    fn new(device: &'static str, runner: String, outcome: folio_engine::Result<f32>) -> Self {
        Self {
            device,
            runner,
            threads: None,
            gpu: None,
            self_test: if outcome.is_ok() { "passed" } else { "failed" },
            max_deviation: outcome.as_ref().ok().copied(),
            error: outcome.err().map(|e| e.to_string()),
        }
    }

    fn line(&self) -> String {
        let detail = match (&self.error, self.max_deviation) {
            (Some(error), _) => format!("FAILED: {error}"),
            (None, worst) => format!("passed (largest deviation {:.1e})", worst.unwrap_or(0.0)),
        };
        let kind = match (&self.gpu, self.threads) {
            (Some(gpu), _) => format!(
                "{}{}, {}subgroups, {} MiB a binding",
                gpu.backend,
                if gpu.software {
                    " (software: --device auto prefers the CPU)"
                } else {
                    ""
                },
                if gpu.subgroups { "" } else { "no " },
                gpu.max_storage_buffer_binding_size >> 20
            ),
            (None, threads) => format!("{} threads", threads.unwrap_or(1)),
        };
        format!(
            "{:<6} {}: {kind}\n       known-answer self-test {detail}\n",
            self.device, self.runner
        )
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut runner = self_test::cpu_runner()?;
    let outcome = self_test::check(runner.as_mut()).wait();
    let mut cpu = Report::new("cpu", runner.device(), outcome);
    cpu.threads = Some(std::thread::available_parallelism().map_or(1, usize::from));
    let mut reports = vec![cpu];
    reports.extend(gpus());
    if args.json {
        output::print(&output::pretty(&serde_json::json!({ "devices": reports }))?)?;
    } else {
        let mut text: String = reports.iter().map(Report::line).collect();
        if reports.len() == 1 {
            text += if cfg!(feature = "gpu") {
                "gpu    none found (no Vulkan, Metal or DX12 driver with an adapter)\n"
            } else {
                "gpu    not part of this build (feature `gpu`)\n"
            };
        }
        output::print(&(text + "cuda   not part of this build\n"))?;
    }
    Ok(if reports.iter().all(|report| report.error.is_none()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

#[cfg(feature = "gpu")]
fn gpus() -> Vec<Report> {
    let adapters = folio_engine::gpu::adapters().into_iter();
    adapters
        .map(|(adapter, outcome)| {
            let mut report = Report::new("gpu", adapter.name, outcome);
            report.gpu = Some(Gpu {
                backend: adapter.backend,
                software: adapter.software,
                subgroups: adapter.subgroups,
                max_storage_buffer_binding_size: adapter.binding_bytes,
            });
            report
        })
        .collect()
}

#[cfg(not(feature = "gpu"))]
fn gpus() -> Vec<Report> {
    Vec::new()
}
