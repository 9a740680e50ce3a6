//! A bare wgpu device that times launches: no runtime in between.

use anyhow::{Context, Result, ensure};
use folio_engine::Wait;
use folio_shaders::Access;
use std::time::Instant;

/// A device and its queue.
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    queue: wgpu::Queue,
}

/// One launch, ready to go.
pub(crate) struct Launch {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) group: wgpu::BindGroup,
    pub(crate) grid: [u32; 3],
}

impl Device {
    /// A device on the adapter whose name begins `name`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapters = instance.enumerate_adapters(wgpu::Backends::all()).wait();
        let adapter = adapters
            .iter()
            .find(|adapter| name.starts_with(&adapter.get_info().name))
            .with_context(|| format!("there is no adapter {name}"))?;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                required_features: adapter.features() & wgpu::Features::SUBGROUP,
                required_limits: adapter.limits(),
                ..Default::default()
            })
            .wait()?;
        Ok(Self { device, queue })
    }

    /// A storage buffer with this content.
    pub(crate) fn storage(&self, words: &[f32]) -> wgpu::Buffer {
        let buffer = self.empty(4 * words.len() as u64);
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    }

    /// A storage buffer of `bytes`, and of whole groups of four words, as the runtime's are.
    pub(crate) fn empty(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.max(16).next_multiple_of(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A pipeline of `source` with a uniform and then these storage buffers, as the runtime compiles its kernels: without
    /// checks.
    pub(crate) fn pipeline(&self, source: &str, storage: &[Access]) -> wgpu::ComputePipeline {
        let types = storage.iter().map(|access| wgpu::BufferBindingType::Storage {
            read_only: *access == Access::Read,
        });
        let entries: Vec<_> = std::iter::once(wgpu::BufferBindingType::Uniform)
            .chain(types)
            .enumerate()
            .map(|(i, ty)| wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let group = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        });
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&group)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        // SAFETY: the kernels measured here stay within their buffers: those of folio-shaders are tested so, the sum
        // clamps every index.
        let module = unsafe {
            self.device
                .create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked())
        };
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        })
    }

    /// A launch with uniform `params` at binding 0 and `storage` at the bindings from 1 on.
    pub(crate) fn launch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        params: &[u8],
        storage: &[&wgpu::Buffer],
        grid: [u32; 3],
    ) -> Launch {
        let uniform = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: params.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&uniform, 0, params);
        let entries: Vec<_> = std::iter::once(&uniform)
            .chain(storage.iter().copied())
            .enumerate()
            .map(|(i, buffer)| wgpu::BindGroupEntry {
                binding: i as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Launch {
            pipeline: pipeline.clone(),
            group,
            grid,
        }
    }

    /// Seconds from the submission of all launches, in one pass, until they are done.
    ///
    /// # Errors
    /// The device is lost.
    pub(crate) fn time(&self, launches: &[Launch]) -> Result<f64> {
        let most = self.device.limits().max_compute_workgroups_per_dimension;
        ensure!(
            launches.iter().all(|l| l.grid.iter().all(|&n| n <= most)),
            "a launch is larger than the {most} workgroups that this adapter allows"
        );
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for launch in launches {
                pass.set_pipeline(&launch.pipeline);
                pass.set_bind_group(0, &launch.group, &[]);
                pass.dispatch_workgroups(launch.grid[0], launch.grid[1], launch.grid[2]);
            }
        }
        let start = Instant::now();
        self.queue.submit([encoder.finish()]);
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .context("the device is lost")?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Waits until what was written has arrived.
    ///
    /// # Errors
    /// The device is lost.
    pub(crate) fn settle(&self) -> Result<()> {
        self.time(&[]).map(|_| ())
    }
}
