//! `cargo xtask web`: the page, built into static files, and served for a look.

mod budget;
mod build;
mod files;
mod manifest;
mod serve;

use anyhow::Result;

pub(crate) use build::dist;

/// What to do with the page.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Serve it on loopback afterwards, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Port to serve at.
    #[arg(long, default_value_t = 8080, requires = "serve")]
    port: u16,
}

/// Builds `web-demo/dist`, and serves it.
///
/// # Errors
/// Something does not build, the package is over its budget, the port is taken.
pub(crate) fn run(args: &Args) -> Result<()> {
    build::build()?;
    if args.serve {
        serve::serve(&dist(), args.port)?;
    }
    Ok(())
}

/// Builds `web-demo/dist`.
///
/// # Errors
/// Something does not build, the package is over its budget.
pub(crate) fn build() -> Result<()> {
    build::build()
}
