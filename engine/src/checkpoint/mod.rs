//! Checkpoints in Hugging Face layout: safetensors, single or sharded, plain or quantised; tensor names and shapes;
//! writing and initialising. A GGUF file's tensors are given under the same names and in the same order of rows.
//!
//! In safetensors, a quantised matrix `[out, in]` is stored as a U8 tensor `[out, bytes per row]` under its usual name.

mod atomic;
mod blocks;
mod convert;
mod encode;
mod folder;
mod gguf;
mod header;
mod init;
mod layout;
mod names;
mod pieces;
mod read;
mod stored;
mod values;
mod write;

pub use atomic::AtomicFile;
pub use convert::{Converted, convert};
pub use encode::TensorWriter;
pub use init::init_tensor;
pub use names::{TensorSpec, tensors, text_prefix};
pub use pieces::PieceFile;
pub use read::Checkpoint;
pub use stored::StoredType;
#[cfg(any(feature = "gpu", feature = "burn"))]
pub(crate) use stored::q5_0_as_q8_0;
pub use write::{Dtype, write, write_shards, write_stored};

/// The single weights file of a checkpoint folder.
const SINGLE: &str = "model.safetensors";
/// The index of a sharded checkpoint's files.
const INDEX: &str = "model.safetensors.index.json";
