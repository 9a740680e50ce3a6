//! Checkpoints in Hugging Face layout: safetensors, single or sharded; tensor names and shapes; writing and initialising.

mod atomic;
mod header;
mod init;
mod names;
mod read;
mod write;

pub use atomic::AtomicFile;
pub use init::init_tensor;
pub use names::{TensorSpec, tensors, text_prefix};
pub use read::Checkpoint;
pub use write::{Dtype, write, write_shards};

/// The single weights file of a checkpoint folder.
const SINGLE: &str = "model.safetensors";
/// The index of a sharded checkpoint's files.
const INDEX: &str = "model.safetensors.index.json";
