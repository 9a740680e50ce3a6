//! stub
use std::process::ExitCode;
/// Show.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}
pub(crate) fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
