//! FLOPs, KV bytes and weight bytes as pure functions of configuration and lengths.
//!
//! Everything that is planned, printed or compared comes from here: [`plan`] puts a whole run, full against folded, in
//! one struct. FLOPs are counted as two per multiply-add in matrix products (norms, softmax, RoPE and activations are
//! left out, well under 1%) and held as `f64`, exact up to 2⁵³.

mod flops;
pub mod meter;
mod plan;
mod size;
mod slots;

pub use flops::{
    align_page, decode_tokens, encode_chunk, encode_page, fold_page, head, token_attention, token_linear, unfold,
    watch_tokens,
};
pub use plan::{Load, Plan, Side, plan};
pub use size::{Parameters, kv_bytes_per_slot, parameters};
pub use slots::Slots;
