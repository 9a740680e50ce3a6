//! How long each kernel takes: timestamps around every launch, in a pass of its own.

use super::machine::KernelTime;
use super::recording::Recording;
use std::collections::HashMap;

/// Launches that one recording may time; later ones are not timed.
const MOST: usize = 2048;

#[derive(Debug)]
pub(super) struct Profile {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    period_s: f64,
    timed: usize,
    times: HashMap<&'static str, (u64, f64)>,
}

impl Profile {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: 16 * MOST as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * MOST as u32,
            }),
            resolved: buffer(
                "timestamps",
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            ),
            staging: buffer(
                "timestamps read",
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            ),
            period_s: f64::from(queue.get_timestamp_period()) * 1e-9,
            timed: 0,
            times: HashMap::new(),
        }
    }

    pub(super) fn begin(&mut self, launches: usize) {
        self.timed = launches.min(MOST);
    }

    pub(super) fn writes(&self, launch: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (launch < self.timed).then(|| wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * launch as u32),
            end_of_pass_write_index: Some(2 * launch as u32 + 1),
        })
    }

    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, launches: usize) {
        let timed = launches.min(self.timed) as u32;
        if timed > 0 {
            encoder.resolve_query_set(&self.queries, 0..2 * timed, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 16 * u64::from(timed));
        }
    }

    /// Adds the times of a recording that was submitted; waits for it.
    pub(super) fn read(&mut self, device: &wgpu::Device, recording: &Recording) {
        if self.timed == 0 {
            return;
        }
        let bytes = 16 * self.timed as u64;
        self.staging.map_async(wgpu::MapMode::Read, ..bytes, |_| {});
        if device.poll(wgpu::PollType::wait_indefinitely()).is_err() {
            return;
        }
        {
            let mapped = self.staging.get_mapped_range(..bytes);
            let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&mapped);
            for (dispatch, pair) in recording.dispatches.iter().zip(stamps.chunks_exact(2)) {
                let entry = self.times.entry(dispatch.call.kernel.label).or_default();
                entry.0 += 1;
                entry.1 += pair[1].saturating_sub(pair[0]) as f64 * self.period_s;
            }
        }
        self.staging.unmap();
    }

    pub(super) fn times(&self) -> Vec<KernelTime> {
        let mut times: Vec<KernelTime> = self
            .times
            .iter()
            .map(|(&kernel, &(launches, seconds))| KernelTime {
                kernel,
                launches,
                seconds,
            })
            .collect();
        times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        times
    }
}
