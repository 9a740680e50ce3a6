//! The model on a GPU: WGSL kernels ([`folio_shaders`]) over a checkpoint, through wgpu; no burn.
//!
//! A forward pass is a [`Recording`]: plain data that says which kernels run over which buffers. A [`Machine`] plays it:
//! [`WgpuMachine`] on a device, [`TwinMachine`] on the kernels' plain-Rust twins, which needs no adapter. What is
//! visible to whom comes from [`crate::context`] as spans of KV rows; nothing here decides it.

mod adapter;
mod arena;
mod kv;
mod load;
mod machine;
mod matrix;
mod oneshot;
mod pipelines;
mod plan;
mod profile;
mod program;
mod recording;
mod runner;
mod scratch;
mod source;
mod twin;
mod upload;
mod watch;
mod weights;
mod wgpu_machine;

pub use adapter::AdapterReport;
pub use folio_shaders::Style;
pub use load::{adapters, has_gpu, load_gpu, self_test, tested};
pub use machine::{Counts, KernelTime, Limits, Machine, Slice};
pub use plan::MemoryPlan;
pub use recording::{Buffer, Dispatch, Recording, Write};
pub use runner::GpuRunner;
pub use source::{Formula, TensorSource};
pub use twin::TwinMachine;
pub use wgpu_machine::{GpuOptions, WgpuMachine};
