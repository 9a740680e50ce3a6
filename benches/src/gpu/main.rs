//! `folio-bench-gpu`: our WGSL runtime beside the same model as a burn graph on wgpu, on the adapter in use.

// A command line tool: stdout and stderr are what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod contest;
mod device;
mod matvec;
mod report;
mod runtimes;
mod sums;

use anyhow::{Context, Result};
use clap::Parser;
use folio_benches::checkpoint;
use folio_benches::prompt::{self, Mode};
use folio_engine::Wait;
use folio_engine::config::Config;
use folio_engine::gpu::{GpuRunner, Machine, Style, WgpuMachine};
use folio_engine::runner::Runner;
use folio_shaders::Weight;
use report::{Kernels, Report, Times};
use runtimes::{Burn, Runtime};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures the GPU runtime beside burn-wgpu. The table goes to stderr, JSON to stdout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Checkpoint folder, or preset for random weights; several are measured one after another.
    #[arg(long, num_args = 1.., default_values = ["folio-nano", "smollm2-135m-folded"])]
    model: Vec<String>,
    /// Measure only this.
    #[arg(long, num_args = 1.., default_values = ["contest", "matvec", "folding", "kernels"])]
    only: Vec<Part>,
    /// How burn runs its operations; the floors are taken against the faster of plain and fusion.
    #[arg(long, num_args = 1.., default_values = ["plain", "fusion", "kernels"])]
    burn: Vec<Burn>,
    /// How often everything is timed, in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tokens written in a round; 0 leaves decoding out.
    #[arg(long, default_value_t = 16)]
    decode_tokens: usize,
    /// Tokens of the prompt in a round; 0 leaves prefill out.
    #[arg(long, default_value_t = 1024)]
    prefill_tokens: usize,
    /// Tokens of the prompt that is read folded and full.
    #[arg(long, default_value_t = 4096)]
    folding_tokens: usize,
    /// How our kernels reduce (serial, plain, subgroup); chosen by adapter without this.
    #[arg(long, value_parser = style)]
    style: Option<Style>,
    /// Where random checkpoints go; a temporary folder without this.
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Decoding and prefill beside burn.
    Contest,
    /// Matrix-vector products beside sums of the same weights.
    Matvec,
    /// A long prompt folded and full.
    Folding,
    /// Time per kernel.
    Kernels,
}

fn style(text: &str) -> Result<Style, String> {
    let named = |style: &&Style| style.to_string() == text;
    Style::ALL.iter().find(named).copied().ok_or_else(|| {
        let all: Vec<String> = Style::ALL.iter().map(ToString::to_string).collect();
        format!("there are {}", all.join(", "))
    })
}

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<()> {
    anyhow::ensure!(cli.rounds > 0, "--rounds must be at least 1");
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let work_dir = cli.work_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut reports = Vec::new();
    for model in &cli.model {
        let dir = match Path::new(model) {
            path if path.join("config.json").exists() => path.to_owned(),
            _ => checkpoint::ensure(&work_dir, model)?,
        };
        let report = one(cli, model, &dir)?;
        eprintln!("\n{}", report.table());
        reports.push(report.json());
    }
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

fn one(cli: &Cli, model: &str, dir: &Path) -> Result<Report> {
    let config = Config::load(dir)?;
    let wants = |part| cli.only.contains(&part);
    eprintln!("{model}: opening our runtime");
    let runner = runtimes::ours(dir, &config, cli.style, false)?;
    let adapter = runner.machine().report().clone();
    let mut report = Report {
        model: model.to_owned(),
        adapter: format!("{} ({})", adapter.name, adapter.backend),
        ..Default::default()
    };
    if wants(Part::Matvec) {
        let device = device::Device::open(&adapter.name)?;
        for weight in Weight::ALL {
            for style in styles(cli, adapter.subgroups) {
                eprintln!("  mat-vec {weight} {style}");
                report
                    .matvec
                    .push(matvec::measure(&device, &config.text, weight, style, cli.rounds)?);
            }
        }
    }
    let mut runner = runner;
    if wants(Part::Folding) {
        let longest = config.text.max_position_embeddings - config.text.max_position_embeddings.min(64);
        for mode in [Mode::Folded, Mode::Full] {
            eprintln!("  {} tokens, {mode:?}", cli.folding_tokens.min(longest));
            runner.reset();
            report
                .folding
                .push(prompt::measure(&mut runner, mode, cli.folding_tokens.min(longest), 4)?);
        }
    }
    if wants(Part::Contest) {
        let device = runtimes::burn_device(&adapter)?;
        let mut all = vec![Runtime::ours(runner)];
        for &kind in &cli.burn {
            eprintln!("  opening burn-wgpu ({kind:?})");
            all.push(Runtime::burn(kind, dir, &config, &device)?);
        }
        let sizes = contest::Sizes {
            rounds: cli.rounds,
            decode_tokens: cli.decode_tokens,
            prefill_tokens: cli.prefill_tokens,
        };
        let (runs, difference) = contest::hold(&mut all, sizes)?;
        report.runs = runs;
        report.difference = Some(difference);
    } else {
        drop(runner);
    }
    if wants(Part::Kernels) {
        report.kernels = kernels(cli, dir, &config)?;
    }
    Ok(report)
}

fn styles(cli: &Cli, subgroups: bool) -> Vec<Style> {
    match cli.style {
        Some(style) => vec![style],
        None => Style::ALL
            .iter()
            .copied()
            .filter(|&style| subgroups || !style.subgroups())
            .collect(),
    }
}

/// Times of every kernel, decoding and reading a prompt, each in a runner of its own.
fn kernels(cli: &Cli, dir: &Path, config: &Config) -> Result<Kernels> {
    let times = |runner: &GpuRunner<WgpuMachine>| -> Vec<Times> {
        let times = runner.machine().kernel_times();
        times.into_iter().map(|t| (t.kernel, t.launches, t.seconds)).collect()
    };
    let mut material = folio_benches::material::Material::new(config)?;
    let ids = material.ids(cli.prefill_tokens.max(16));
    // Without the known-answer test's launches, which came before.
    let since = |before: &[Times], after: Vec<Times>| -> Vec<Times> {
        let earlier = |kernel| before.iter().find(|t| t.0 == kernel).map_or((0, 0.0), |t| (t.1, t.2));
        after
            .into_iter()
            .map(|(kernel, launches, seconds)| (kernel, launches - earlier(kernel).0, seconds - earlier(kernel).1))
            .filter(|t| t.1 > 0)
            .collect()
    };
    let mut decode = runtimes::ours(dir, config, cli.style, true)?;
    let before = times(&decode);
    for &id in &ids[..8] {
        decode.extend(&[id], folio_engine::runner::Want::Kept).wait()?;
        decode.draw(&folio_engine::runner::DrawRequest::greedy()).wait()?;
    }
    let decoding = since(&before, times(&decode));
    drop(decode);
    let mut prefill = runtimes::ours(dir, config, cli.style, true)?;
    let before = times(&prefill);
    prefill.extend(&ids, folio_engine::runner::Want::Last).wait()?;
    Ok(vec![
        ("decode, 8 tokens", decoding),
        ("prefill", since(&before, times(&prefill))),
    ])
}
