//! Where a run computes. The training code is generic over burn's backends; here its type is chosen, and nowhere else.

use crate::compute::Precision;
use crate::run::{Outcome, Reporter, train_with};
use crate::setup::Setup;
use crate::team::Team;
use crate::{Error, Result};
use burn::backend::Autodiff;
use burn_flex::Flex;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

/// A device, as `--device` names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    /// This machine's cores.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number. `None`: the first, or one for each process that this machine runs.
    Cuda(Option<usize>),
    /// Whatever wgpu finds best: AMD, Intel, Apple.
    Wgpu,
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = |n: &str| n.parse().ok().map(|n| Self::Cuda(Some(n)));
        let device = match name {
            "cpu" => Some(Self::Cpu),
            "wgpu" => Some(Self::Wgpu),
            "cuda" => Some(Self::Cuda(None)),
            _ => name.strip_prefix("cuda:").and_then(number),
        };
        device.ok_or_else(|| Error::Argument(format!("no device \"{name}\": it is cpu, cuda, cuda:N or wgpu")))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(n)) => write!(f, "cuda:{n}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

impl Device {
    /// Whether this program was built with what the device needs.
    ///
    /// # Errors
    /// It was not; the cargo feature is named.
    pub fn check_built(self) -> Result<()> {
        let (built, feature) = match self {
            Self::Cpu => (true, ""),
            Self::Cuda(_) => (cfg!(feature = "cuda"), "cuda"),
            Self::Wgpu => (cfg!(feature = "wgpu"), "wgpu"),
        };
        if built {
            return Ok(());
        }
        Err(Error::Argument(format!(
            "this folio-train was built without {feature}: cargo build --release -p folio-trainer --features {feature}, \
             or take --device cpu"
        )))
    }
}

impl Device {
    /// Whether the device has numbers of `precision`.
    ///
    /// # Errors
    /// It has not; what to take instead is named.
    pub fn check_precision(self, precision: Precision) -> Result<()> {
        match (self, precision) {
            (Self::Wgpu, Precision::Bf16) => Err(Error::Argument(
                "precision is bf16, which WGSL does not have: take precision = \"f32\", or --device cuda or cpu"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// Trains what `setup` has made ready on `device`, as one process of `team`; see [`train_with`].
///
/// # Errors
/// A device that was not built in or is not there; as [`train_with`].
pub fn train_on(
    device: Device,
    setup: Setup,
    team: &dyn Team,
    stop: &AtomicBool,
    reporter: &mut dyn Reporter,
) -> Result<Outcome> {
    device.check_built()?;
    device.check_precision(setup.recipe.precision)?;
    match device {
        Device::Cpu => train_with::<Autodiff<Flex>>(setup, &Default::default(), team, stop, reporter),
        #[cfg(feature = "cuda")]
        Device::Cuda(index) => {
            let device = burn_cuda::CudaDevice {
                index: index.unwrap_or_else(local_rank),
            };
            train_on_gpu::<Autodiff<folio_engine::model::BurnCuda>>(&device, "CUDA", setup, team, stop, reporter)
        }
        #[cfg(feature = "wgpu")]
        Device::Wgpu => {
            type Wgpu = Autodiff<folio_engine::model::BurnWgpuFusion>;
            train_on_gpu::<Wgpu>(&Default::default(), "wgpu", setup, team, stop, reporter)
        }
        #[allow(unreachable_patterns)]
        other => other.check_built().map(|()| Outcome::Stopped),
    }
}

/// Number of this process among those on this machine, as the launcher tells: its GPU.
#[cfg(feature = "cuda")]
fn local_rank() -> usize {
    ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn train_on_gpu<B: burn::tensor::backend::AutodiffBackend + folio_engine::model::Fused>(
    device: &B::Device,
    name: &str,
    mut setup: Setup,
    team: &dyn Team,
    stop: &AtomicBool,
    reporter: &mut dyn Reporter,
) -> Result<Outcome>
where
    B::InnerBackend: folio_engine::model::Fused,
{
    probe::<B>(device, name)?;
    // Shares of the batch on threads of their own keep a CPU's cores busy; a GPU takes the whole batch at once.
    setup.recipe.threads = Some(1);
    train_with::<B>(setup, device, team, stop, reporter)
}

/// Computes one number on `device`. burn's GPU backends panic where there is no driver or no adapter.
///
/// # Errors
/// What the backend said.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn probe<B: burn::tensor::backend::AutodiffBackend>(device: &B::Device, name: &str) -> Result<()> {
    use burn::tensor::Tensor;
    use std::sync::{Arc, Mutex, PoisonError};

    // The first panic has the reason; what panics after it only says that something is gone.
    let first = Arc::new(Mutex::new(None::<String>));
    let keep = Arc::clone(&first);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let what = info.payload_as_str().unwrap_or("it gave no reason");
        keep.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| what.lines().next().unwrap_or_default().to_owned());
    }));
    // What a panic may leave half-done is not used again: the run ends.
    let sum = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let two = Tensor::<B, 1>::ones([2], device).sum();
        two.into_data().convert::<f32>().into_vec::<f32>().unwrap_or_default()
    }));
    std::panic::set_hook(hook);
    let reason = first.lock().unwrap_or_else(PoisonError::into_inner).take();
    match sum {
        Ok(sum) if sum == [2.0] => Ok(()),
        Ok(sum) => Err(Error::Gpu(format!("the {name} device says that 1 + 1 is {sum:?}"))),
        Err(_) => {
            let reason = reason.unwrap_or_else(|| "it gave no reason".to_owned());
            Err(Error::NoGpu(format!(
                "no {name} device can be used ({reason}): check the driver, or take --device cpu"
            )))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_shown() {
        for name in ["cpu", "cuda", "cuda:0", "cuda:13", "wgpu"] {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            let error = name.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains("cuda:N") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn sixteen_bits_are_refused_where_there_are_none() {
        for device in [Device::Cpu, Device::Cuda(None), Device::Wgpu] {
            device.check_precision(Precision::F32).unwrap();
        }
        Device::Cuda(Some(1)).check_precision(Precision::Bf16).unwrap();
        Device::Cpu.check_precision(Precision::Bf16).unwrap();
        let error = Device::Wgpu.check_precision(Precision::Bf16).unwrap_err().to_string();
        assert!(error.contains("bf16") && error.contains("--device cuda"), "{error}");
    }

    #[test]
    fn what_was_not_built_in_is_named() {
        Device::Cpu.check_built().unwrap();
        for (device, built, feature) in [
            (Device::Cuda(Some(1)), cfg!(feature = "cuda"), "--features cuda"),
            (Device::Wgpu, cfg!(feature = "wgpu"), "--features wgpu"),
        ] {
            match device.check_built() {
                Ok(()) => assert!(built),
                Err(error) => assert!(!built && error.to_string().contains(feature), "{error}"),
            }
        }
    }
}
