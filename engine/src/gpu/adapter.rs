//! Finding an adapter, and what it must be able to do.

use super::machine::Limits;
use crate::{Error, Result};

/// What the kernels need at least: the portable limits of `design.md` (WebGPU's defaults).
const FLOOR: [(&str, u64); 5] = [
    ("storage buffers per shader stage", 8),
    ("invocations per workgroup", 256),
    ("bytes of workgroup memory", 16_384),
    ("bytes per storage binding", 128 << 20),
    ("workgroups per dimension", 65_535),
];

/// What to say where there is no adapter.
#[cfg(not(target_family = "wasm"))]
const NONE: &str = "no GPU was found (no Vulkan, Metal or DX12 driver with an adapter): install one (on Debian, a software one \
                    is in mesa-vulkan-drivers)";
#[cfg(target_family = "wasm")]
const NONE: &str = "this browser gives no WebGPU adapter: use a current Chrome, Edge, Safari or Firefox on a computer with a \
                    GPU, and see that hardware acceleration is switched on";

/// An adapter, in words and figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterReport {
    /// Its name and driver.
    pub name: String,
    /// Vulkan, Metal, DX12, …
    pub backend: String,
    /// Whether it is a CPU that plays a GPU.
    pub software: bool,
    /// Whether its subgroups can be used: they have at least four lanes.
    pub subgroups: bool,
    /// Bytes of one storage binding.
    pub binding_bytes: u64,
    /// What it lacks, if it is below the floor.
    pub lacks: Option<String>,
}

/// Describes an adapter.
pub(super) fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let name = match info.driver_info.trim() {
        "" => info.name.clone(),
        driver => format!("{} [{driver}]", info.name),
    };
    AdapterReport {
        name,
        backend: info.backend.to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        subgroups: adapter.features().contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size >= 4,
        binding_bytes: limits.max_storage_buffer_binding_size,
        lacks: lacks(&limits),
    }
}

fn lacks(limits: &wgpu::Limits) -> Option<String> {
    let has = [
        u64::from(limits.max_storage_buffers_per_shader_stage),
        u64::from(limits.max_compute_invocations_per_workgroup),
        u64::from(limits.max_compute_workgroup_storage_size),
        limits.max_storage_buffer_binding_size,
        u64::from(limits.max_compute_workgroups_per_dimension),
    ];
    FLOOR
        .iter()
        .zip(has)
        .find(|((_, need), has)| has < need)
        .map(|((what, need), has)| format!("{has} {what}, {need} are needed"))
}

/// What may be asked of an adapter's memory.
pub(super) fn limits(device: &wgpu::Device, memory_bytes: Option<u64>) -> Limits {
    let limits = device.limits();
    Limits {
        // Sizes are kept below 4 GiB, so that word indices fit 32 bits with room to spare.
        binding_bytes: limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(4 << 30)
            / 4
            * 4,
        memory_bytes,
        grid: limits.max_compute_workgroups_per_dimension,
    }
}

/// All adapters of this machine.
pub(super) async fn all(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // Real GPUs first, the dedicated before the shared.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// The best adapter.
///
/// # Errors
/// There is none, or the best is below the floor.
pub(super) async fn best(instance: &wgpu::Instance, allow_software: bool) -> Result<wgpu::Adapter> {
    let mut below = None;
    #[cfg(target_family = "wasm")]
    let candidates: Vec<wgpu::Adapter> = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        })
        .await
        .into_iter()
        .collect();
    #[cfg(not(target_family = "wasm"))]
    let candidates = all(instance).await;
    for adapter in candidates {
        let report = report(&adapter);
        if report.software && !allow_software {
            continue;
        }
        match report.lacks {
            None => return Ok(adapter),
            Some(what) => below = below.or(Some(format!("{} has {what}", report.name))),
        }
    }
    Err(match below {
        Some(what) => Error::GpuBelowFloor(format!("no GPU can run the kernels: {what}")),
        None => Error::NoGpu(NONE.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_below_the_floor_are_named_with_what_they_lack() {
        assert_eq!(lacks(&wgpu::Limits::default()), None, "WebGPU's defaults are enough");
        let small = wgpu::Limits {
            max_storage_buffer_binding_size: 127 << 20,
            ..wgpu::Limits::default()
        };
        let what = lacks(&small).unwrap_or_default();
        assert_eq!(what, "133169152 bytes per storage binding, 134217728 are needed");
        assert!(lacks(&wgpu::Limits::downlevel_defaults()).is_some());
    }
}
