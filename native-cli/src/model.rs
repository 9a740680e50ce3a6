//! Finding and opening a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use folio_engine::config::Config;
use folio_engine::gguf::is_gguf;
use folio_engine::model::{KvType, load_cpu_with};
use folio_engine::page::FontStack;
use folio_engine::runner::Runner;
use folio_engine::session;
use folio_engine::text::Tokenizer;

use crate::progress;

// Options of every command that runs a model. (No doc comment: clap would make it the command's help.)
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct ModelArgs {
    /// Model folder in Hugging Face layout, or a GGUF file; without it $FOLIO_MODEL or the bundled folio-nano.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) device: Device,
    /// How keys and values are held on the CPU: f16 takes half the memory and rounds them to 11 bits.
    #[arg(long, value_enum, default_value = "f32", value_name = "TYPE")]
    pub(crate) kv: Kv,
    /// Font for the pages (TTF, OTF, TTC; `file.ttc#2` for a face); again for fallbacks. The embedded font comes last.
    #[arg(long, value_name = "FILE")]
    pub(crate) font: Vec<PathBuf>,
    /// No progress and no summary on stderr.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// A type of keys and values.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kv {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats.
    F16,
}

/// A place to compute.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// A GPU, unless the only one is a CPU in disguise or cannot hold the model; then the CPU.
    Auto,
    /// The best GPU through wgpu (Vulkan, Metal, DX12), a software one if there is no other.
    Gpu,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU through CUDA (not part of this build).
    Cuda,
}

/// Everything that a model gives but the weights.
pub(crate) struct Model {
    /// The folder, or the GGUF file.
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) fonts: FontStack,
}

impl Model {
    /// Finds the folder and reads configuration, tokenizer and fonts.
    pub(crate) fn open(args: &ModelArgs) -> anyhow::Result<Self> {
        let dir = find(args.model.as_deref())?;
        let config = Config::load(&dir)?;
        let tokenizer = Arc::new(Tokenizer::load(&dir)?);
        let fonts = FontStack::load(&args.font)?;
        Ok(Self {
            dir,
            config,
            tokenizer,
            fonts,
        })
    }

    /// Loads the weights onto the device.
    pub(crate) fn runner(&self, args: &ModelArgs, wish: Wish) -> anyhow::Result<Box<dyn Runner>> {
        let wish = Wish { kv: args.kv, ..wish };
        open_runner(&self.dir, &self.config, args.device, args.quiet, wish)
    }

    /// The folder's name, for statistics.
    pub(crate) fn name(&self) -> String {
        let full = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        full.file_name()
            .unwrap_or(full.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// Identifies the model and the fonts in session files.
    pub(crate) fn fingerprints(&self) -> anyhow::Result<(String, String)> {
        let fonts = self.fonts.fingerprint().iter().map(|b| format!("{b:02x}")).collect();
        Ok((session::fingerprint(&self.dir)?, fonts))
    }
}

/// Loads the weights in `dir` onto `device`.
pub(crate) fn open_runner(
    dir: &Path,
    config: &Config,
    device: Device,
    quiet: bool,
    wish: Wish,
) -> anyhow::Result<Box<dyn Runner>> {
    check_device(device)?;
    match device {
        Device::Gpu => gpu(dir, config, quiet, wish, true),
        Device::Auto if device::has_gpu() => gpu(dir, config, quiet, wish, false).or_else(|e| {
            if !quiet {
                eprintln!("note: computing on the CPU: {e:#}");
            }
            cpu(dir, config, quiet, wish)
        }),
        _ => cpu(dir, config, quiet, wish),
    }
}

fn cpu(dir: &Path, config: &Config, quiet: bool, wish: Wish) -> anyhow::Result<Box<dyn Runner>> {
    if wish.profile {
        bail!("--profile times the kernels of a GPU: use it with --device gpu");
    }
    let bar = progress::bar("loading", 100, quiet);
    let mut report = |share: f32| bar.set_position((share * 100.0) as u64);
    let kv = match wish.kv {
        Kv::F32 => KvType::F32,
        Kv::F16 => KvType::F16,
    };
    let runner = load_cpu_with(dir, config, kv, &mut report)?;
    bar.finish_and_clear();
    Ok(runner)
}

fn gpu(dir: &Path, config: &Config, quiet: bool, wish: Wish, software: bool) -> anyhow::Result<Box<dyn Runner>> {
    if wish.kv != Kv::F32 {
        bail!("--kv f16 is for --device cpu: a GPU holds keys and values as f32");
    }
    let bar = progress::bar("loading", 100, quiet);
    let mut report = |what: &str, share: f32| {
        if bar.message() != what {
            bar.set_message(what.to_owned());
        }
        bar.set_position((share * 100.0) as u64);
    };
    let runner = device::open(dir, config, wish, software, &mut report);
    bar.finish_and_clear();
    runner
}

/// What a command asks of a runner besides its device.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish {
    /// Slots that will be needed at least.
    pub(crate) slots: usize,
    /// Time every kernel.
    pub(crate) profile: bool,
    /// How keys and values are held.
    pub(crate) kv: Kv,
}

/// Refuses devices that this build has no runner for.
pub(crate) fn check_device(device: Device) -> anyhow::Result<()> {
    match device {
        Device::Gpu if !cfg!(feature = "gpu") => {
            bail!("--device gpu: this build of folio has no GPU runner (feature `gpu`); use --device cpu")
        }
        Device::Cuda => bail!("--device cuda: this build of folio has no CUDA runner; use --device gpu or cpu"),
        _ => Ok(()),
    }
}

#[cfg(feature = "gpu")]
mod device {
    use super::{Config, Path, Runner, Wish};
    use folio_engine::gpu::{GpuOptions, Style, has_gpu as any, load_gpu};

    pub(super) fn has_gpu() -> bool {
        any()
    }

    pub(super) fn open(
        dir: &Path,
        config: &Config,
        wish: Wish,
        allow_software: bool,
        progress: &mut dyn FnMut(&str, f32),
    ) -> anyhow::Result<Box<dyn Runner>> {
        // For those who tune kernels: which variant runs is otherwise chosen by adapter.
        let style = match std::env::var("FOLIO_GPU_STYLE").as_deref() {
            Ok("serial") => Some(Style::Serial),
            Ok("broadcast") => Some(Style::Broadcast),
            Ok("plain") => Some(Style::Plain),
            Ok("subgroup") => Some(Style::Subgroup),
            _ => None,
        };
        let options = GpuOptions {
            allow_software,
            style,
            profile: wish.profile,
            ..GpuOptions::default()
        };
        Ok(Box::new(load_gpu(dir, config, options, wish.slots, progress)?))
    }
}

#[cfg(not(feature = "gpu"))]
mod device {
    use super::{Config, Path, Runner, Wish};

    pub(super) fn has_gpu() -> bool {
        false
    }

    pub(super) fn open(
        _: &Path,
        _: &Config,
        _: Wish,
        _: bool,
        _: &mut dyn FnMut(&str, f32),
    ) -> anyhow::Result<Box<dyn Runner>> {
        anyhow::bail!("this build of folio has no GPU runner")
    }
}

/// The model folder or GGUF file: the given one, $FOLIO_MODEL, or the bundled one.
pub(crate) fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named = given.map(Path::to_owned).or_else(|| {
        let env = std::env::var_os("FOLIO_MODEL").filter(|v| !v.is_empty());
        env.map(PathBuf::from)
    });
    if let Some(dir) = named {
        let shown = dir.display();
        return match std::fs::metadata(&dir) {
            Ok(meta) if meta.is_dir() => Ok(dir),
            Ok(_) if is_gguf(&dir) => Ok(dir),
            Ok(_) => bail!(
                "{shown}: a model is a folder with config.json, tokenizer.json and model.safetensors, or a GGUF file"
            ),
            Err(e) => Err(e).with_context(|| format!("cannot open the model folder {shown}")),
        };
    }
    let exe = std::env::current_exe().ok();
    let beside = exe
        .as_deref()
        .and_then(Path::parent)
        .map(|dir| dir.join("models/folio-nano"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/folio-nano");
    let places = [beside, Some(PathBuf::from("models/folio-nano")), Some(source)];
    let found = places
        .into_iter()
        .flatten()
        .find(|dir| dir.join("config.json").is_file());
    found.context(
        "no bundled model found beside the program or in models/folio-nano: give --model DIR or set FOLIO_MODEL",
    )
}
