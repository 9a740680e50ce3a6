//! `folio convert`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use folio_engine::checkpoint::{Converted, StoredType, convert};

use crate::listener::bytes;
use crate::{failure, interrupt, model, progress};

/// Write a model to a new folder with its weights stored in another type.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  folio convert --out nano-q8 --quantize q8_0
  folio convert --model DIR --out DIR-q4 --quantize q4_0
  folio convert --model FILE.gguf --out DIR --quantize f16

q8_0 and q4_0 are the block formats of GGUF. The matrices are quantised; what is not a matrix \
stays f32, and a matrix whose rows are no multiple of 32 stays f16. Tokenizer and other files are \
copied; of a GGUF file, the tokenizer inside is written out.")]
pub(crate) struct Args {
    /// Model folder in Hugging Face layout, or a GGUF file; without it $FOLIO_MODEL or the bundled folio-nano.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The new folder; it appears whole or not at all.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How the weights are to be stored.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f16")]
    quantize: Quantize,
    /// No progress and no summary on stderr.
    #[arg(long, short)]
    quiet: bool,
}

/// A type to store weights in.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum Quantize {
    /// 32-bit float: nothing is lost.
    F32,
    /// 16-bit float.
    F16,
    /// 8 bits and a scale for 32 of them: 8.5 bits a weight.
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits and a scale for 32 of them: 4.5 bits a weight.
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<Quantize> for StoredType {
    fn from(quantize: Quantize) -> Self {
        match quantize {
            Quantize::F32 => Self::F32,
            Quantize::F16 => Self::F16,
            Quantize::Q8_0 => Self::Q8_0,
            Quantize::Q4_0 => Self::Q4_0,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let from = model::find(args.model.as_deref())?;
    interrupt::watch()?;
    let bar = progress::bar("converting", 100, args.quiet);
    let mut go_on = |share: f32| {
        bar.set_position((share * 100.0) as u64);
        !interrupt::asked()
    };
    let converted = convert(&from, &args.out, args.quantize.into(), &mut go_on);
    bar.finish_and_clear();
    match converted? {
        Some(converted) => {
            if !args.quiet {
                eprintln!("{}", summary(&args.out, &converted));
            }
            Ok(ExitCode::SUCCESS)
        }
        None => {
            if !args.quiet {
                eprintln!("interrupted: nothing was written");
            }
            Ok(ExitCode::from(failure::INTERRUPTED))
        }
    }
}

fn summary(out: &Path, converted: &Converted) -> String {
    let tensors = converted.tensors.iter().map(|(stored, n)| format!("{n} {stored}"));
    format!(
        "{}: weights {} → {} (tensors: {})",
        out.display(),
        bytes(converted.bytes_before as usize),
        bytes(converted.bytes_after as usize),
        tensors.collect::<Vec<_>>().join(", ")
    )
}
