//! The model as burn modules, generic over `B: Backend`.
//!
//! Field names are Hugging Face's, so a parameter's path in the module tree *is* its tensor name. [`Vist2::forward`]
//! runs whole laid-out documents (training, scoring); [`BurnRunner`] runs one context step by step over preallocated KV.

mod aligner;
mod attention;
#[cfg(feature = "train")]
mod blocks;
mod build;
mod cat;
mod decoder;
mod forward;
mod fused;
mod kv;
mod linear;
mod norm;
mod packed;
mod page_encoder;
mod params;
mod ranged;
mod rope;
mod runner;
mod vision;
mod vist2;

#[cfg(feature = "train")]
pub use blocks::{Gather, Kept};
pub use build::{Source, Values};
pub use forward::Hidden;
#[cfg(feature = "burn-cuda")]
pub use fused::BurnCuda;
pub use fused::{AdamW, Answers, AttentionPlan, Fused, PageLengths, Prefix, Seen};
#[cfg(feature = "burn-wgpu")]
pub use fused::{BurnWgpu, BurnWgpuFusion, BurnWgpuPlain};
pub use linear::Linear;
pub use packed::{DocumentTokens, Packed, Target};
pub use page_encoder::{Conv, ConvPyramid};
pub use params::{named_params, visit_params};
pub use runner::{BurnRunner, KvType, open};
#[cfg(feature = "flex")]
pub use runner::{load_cpu, load_cpu_with};
pub use vist2::Vist2;
