//! Kernels compiled for one device, and their bind groups.

use super::recording::Buffer;
use folio_shaders::{Access, Call, Kernel};
use std::collections::HashMap;

/// Most bytes of one launch's parameters: the smallest alignment that every device allows for a dynamic offset.
pub(super) const PARAMS_STRIDE: u64 = 256;

#[derive(Debug)]
struct Compiled {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// Pipelines by kernel, bind groups by kernel and buffers: each is made once.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    compiled: HashMap<usize, Compiled>,
    groups: HashMap<(usize, Vec<Buffer>), wgpu::BindGroup>,
}

impl Pipelines {
    /// Compiles `kernel` unless it is already.
    pub(super) fn prepare(&mut self, device: &wgpu::Device, kernel: &'static Kernel, checked: bool) {
        self.compiled
            .entry(kernel.index)
            .or_insert_with(|| compile(device, kernel, checked));
    }

    /// Pipeline and bind group of a launch; parameters come from `arena` at a dynamic offset.
    pub(super) fn get(
        &mut self,
        device: &wgpu::Device,
        call: &Call<Buffer>,
        buffers: &HashMap<u32, wgpu::Buffer>,
        arena: &wgpu::Buffer,
    ) -> Option<(&wgpu::ComputePipeline, &wgpu::BindGroup)> {
        let compiled = self.compiled.get(&call.kernel.index)?;
        let key = (call.kernel.index, call.bindings.clone());
        let group = match self.groups.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(bind(device, call, &compiled.layout, buffers, arena)?)
            }
        };
        Some((&compiled.pipeline, group))
    }

    /// Forgets bind groups of a buffer that goes away.
    pub(super) fn forget(&mut self, buffer: Buffer) {
        self.groups.retain(|(_, buffers), _| !buffers.contains(&buffer));
    }

    /// Forgets all bind groups: the arena is another.
    pub(super) fn forget_all(&mut self) {
        self.groups.clear();
    }
}

fn bind(
    device: &wgpu::Device,
    call: &Call<Buffer>,
    layout: &wgpu::BindGroupLayout,
    buffers: &HashMap<u32, wgpu::Buffer>,
    arena: &wgpu::Buffer,
) -> Option<wgpu::BindGroup> {
    let params = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: arena,
        offset: 0,
        size: wgpu::BufferSize::new(call.kernel.params_size as u64),
    });
    let mut entries = vec![wgpu::BindGroupEntry {
        binding: 0,
        resource: params,
    }];
    for (i, buffer) in call.bindings.iter().enumerate() {
        entries.push(wgpu::BindGroupEntry {
            binding: i as u32 + 1,
            resource: buffers.get(&buffer.0)?.as_entire_binding(),
        });
    }
    Some(device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(call.kernel.name),
        layout,
        entries: &entries,
    }))
}

fn compile(device: &wgpu::Device, kernel: &'static Kernel, checked: bool) -> Compiled {
    let source = wgpu::ShaderModuleDescriptor {
        label: Some(kernel.label),
        source: wgpu::ShaderSource::Wgsl(kernel.source.into()),
    };
    let module = if checked {
        device.create_shader_module(source)
    } else {
        // SAFETY: the kernels read and write within their buffers: the test suite runs each of them over odd shapes with
        // checks on, against twins that refuse every access out of bounds; and all their loops end.
        unsafe { device.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    let buffer = |binding: usize, ty, dynamic, size: Option<u64>| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic,
            min_binding_size: size.and_then(wgpu::BufferSize::new),
        },
        count: None,
    };
    let mut entries = vec![buffer(
        0,
        wgpu::BufferBindingType::Uniform,
        true,
        Some(kernel.params_size as u64),
    )];
    for (i, binding) in kernel.bindings.iter().enumerate() {
        let read_only = binding.access == Access::Read;
        entries.push(buffer(
            i + 1,
            wgpu::BufferBindingType::Storage { read_only },
            false,
            None,
        ));
    }
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.label),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.label),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // No kernel reads workgroup memory that it has not written.
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    Compiled { pipeline, layout }
}
