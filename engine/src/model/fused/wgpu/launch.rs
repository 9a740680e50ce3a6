//! Launching a kernel of [`folio_shaders`] through burn's custom-kernel route.

use super::adapt::adapt;
use burn_cubecl::cubecl::client::ComputeClient;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, KernelId};
use burn_cubecl::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_cubecl::cubecl::wgpu::WgpuRuntime;
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;
use folio_shaders::{Call, Kernel};

/// A kernel's text, for burn.
struct Wgsl {
    kernel: &'static Kernel,
    table: Option<&'static str>,
}

impl KernelSource for Wgsl {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(adapt(self.kernel, self.table))
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>()
            .info(self.kernel.index)
            .cube_dim(cube_dim(self.kernel))
    }
}

fn cube_dim(kernel: &Kernel) -> CubeDim {
    let [x, y, z] = kernel.workgroup_size;
    CubeDim::new_3d(x, y, z)
}

/// What is launched.
pub(super) struct Launch<'a> {
    call: &'a Call<&'a CubeTensor<WgpuRuntime>>,
    grid: [usize; 3],
    /// A binding that travels with the parameters, and its values.
    table: Option<(&'static str, &'a [[u32; 4]])>,
}

impl<'a> Launch<'a> {
    pub(super) fn plain(call: &'a Call<&'a CubeTensor<WgpuRuntime>>, grid: [usize; 3]) -> Self {
        Self {
            call,
            grid,
            table: None,
        }
    }

    pub(super) fn with_table(
        call: &'a Call<&'a CubeTensor<WgpuRuntime>>,
        grid: [usize; 3],
        name: &'static str,
        values: &'a [[u32; 4]],
    ) -> Self {
        Self {
            call,
            grid,
            table: Some((name, values)),
        }
    }
}

pub(super) fn launch(client: &ComputeClient<WgpuRuntime>, launch: Launch<'_>) {
    let kernel = launch.call.kernel;
    if launch.grid.contains(&0) {
        return;
    }
    let mut arguments = KernelArguments::new();
    for (binding, tensor) in kernel.bindings.iter().zip(&launch.call.bindings) {
        if launch.table.is_none_or(|(name, _)| name != binding.name) {
            arguments = arguments.with_buffer(tensor.handle.clone().binding());
        }
    }
    // Parameters are padded to 16 bytes, as a vec4 that follows them wants it.
    let mut bytes = launch.call.params.clone();
    if let Some((_, values)) = launch.table {
        bytes.extend_from_slice(bytemuck::cast_slice(values));
    }
    arguments = arguments.with_info(MetadataBindingInfo::custom(bytemuck::pod_collect_to_vec(&bytes)));
    let source = Wgsl {
        kernel,
        table: launch.table.map(|(name, _)| name),
    };
    let [x, y, z] = launch.grid.map(|n| n as u32);
    let task = Box::new(SourceKernel::new(source, cube_dim(kernel)));
    // SAFETY: the kernels stay within their buffers (the suite of `gpu` runs each over odd shapes against twins that
    // refuse every access out of bounds), and all their loops end.
    unsafe { client.launch_unchecked(task, CubeCount::Static(x, y, z), arguments) };
}
