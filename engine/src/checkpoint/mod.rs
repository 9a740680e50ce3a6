//! Checkpoints in Hugging Face layout: safetensors, single or sharded; tensor names and shapes; writing and initialising.
mod init;
mod names;
mod read;
mod write;

pub use init::init_tensor;
pub use names::{TensorSpec, tensors};
pub use read::Checkpoint;
pub use write::{Dtype, write};
