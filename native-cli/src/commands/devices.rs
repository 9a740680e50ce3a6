//! `folio devices`.

use std::process::ExitCode;

use folio_engine::session::self_test;

use crate::failure::FAILED;
use crate::output;

/// List the devices that this build can run on, each with a known-answer self-test.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Report {
    device: &'static str,
    runner: String,
    threads: usize,
    self_test: &'static str,
    max_deviation: Option<f32>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut runner = self_test::cpu_runner()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcome = self_test::check(runner.as_mut());
    let report = Report {
        device: "cpu",
        runner: runner.device(),
        threads,
        self_test: if outcome.is_ok() { "passed" } else { "failed" },
        max_deviation: outcome.as_ref().ok().copied(),
    };
    if args.json {
        output::print(&output::pretty(&serde_json::json!({ "devices": [report] }))?)?;
    } else {
        let detail = match &outcome {
            Ok(worst) => format!("passed (largest deviation {worst:.1e})"),
            Err(error) => format!("FAILED: {error}"),
        };
        output::print(&format!(
            "cpu    {}, {threads} threads; known-answer self-test {detail}\n\
             gpu    not part of this build\n\
             cuda   not part of this build\n",
            report.runner
        ))?;
    }
    Ok(if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
