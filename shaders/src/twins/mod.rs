//! A plain-Rust twin of every kernel: the same function of the same buffers, written independently and as clearly as
//! possible. Tests hold kernels against them; a whole recording can be run on them without any adapter.
//!
//! A twin works out what its kernel's *interface* says, not how the kernel goes about it: sums are taken in plain
//! order. It writes exactly the words that the kernel would write for that grid, and where a kernel would read or
//! write outside a buffer it says so.

mod add_position;
mod ask_rows;
mod ask_slots;
mod attention_merge;
mod buffers;
mod embed_rows;
mod fold_chunk;
mod layer_norm;
mod linear;
mod mat_mul;
mod mat_vec;
mod patchify;
mod rms_norm;
mod rope_kv;
mod sample;
mod visual_attention;
pub mod weights;

use std::fmt;

use crate::{Access, Kernel};
use buffers::Buffers;

/// A buffer of 32-bit words, as bound to a kernel.
#[derive(Debug)]
pub enum Data<'a> {
    /// For a binding that is read.
    Read(&'a [u32]),
    /// For a binding that is read and written.
    Write(&'a mut [u32]),
}

/// A call that its kernel could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwinError {
    /// There is no twin of that name.
    NoTwin {
        /// The kernel's label.
        kernel: &'static str,
    },
    /// The parameters have another size than the kernel's `Params`.
    Params {
        /// The kernel's label.
        kernel: &'static str,
        /// Bytes expected.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
    /// Another number of buffers than the kernel binds.
    Buffers {
        /// The kernel's label.
        kernel: &'static str,
        /// Buffers expected.
        expected: usize,
        /// Buffers given.
        given: usize,
    },
    /// A buffer that the kernel writes was given for reading.
    ReadOnly {
        /// The kernel's label.
        kernel: &'static str,
        /// The binding's name.
        binding: &'static str,
    },
    /// An access outside a buffer.
    Outside {
        /// The kernel's label.
        kernel: &'static str,
        /// The binding's name.
        binding: &'static str,
        /// The word accessed.
        word: usize,
        /// Words that there are.
        words: usize,
    },
    /// Parameters, contents or grid that the kernel is not made for.
    Unfit {
        /// The kernel's label.
        kernel: &'static str,
        /// What does not fit.
        what: &'static str,
    },
}

impl fmt::Display for TwinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTwin { kernel } => write!(f, "{kernel}: there is no twin of this kernel"),
            Self::Params {
                kernel,
                expected,
                given,
            } => write!(f, "{kernel}: {given} bytes of parameters given, it takes {expected}"),
            Self::Buffers {
                kernel,
                expected,
                given,
            } => write!(f, "{kernel}: {given} buffers given, it binds {expected}"),
            Self::ReadOnly { kernel, binding } => {
                write!(f, "{kernel}: `{binding}` is written, but was given for reading")
            }
            Self::Outside {
                kernel,
                binding,
                word,
                words,
            } => write!(
                f,
                "{kernel}: word {word} of `{binding}` is outside: it has {words} words"
            ),
            Self::Unfit { kernel, what } => write!(f, "{kernel}: {what}"),
        }
    }
}

impl std::error::Error for TwinError {}

/// Does what dispatching `kernel` with `grid` workgroups does. `data` holds one buffer per storage binding, in order.
///
/// # Errors
/// [`TwinError`]; buffers may be half-written then.
pub fn run(kernel: &'static Kernel, params: &[u8], data: &mut [Data<'_>], grid: [u32; 3]) -> Result<(), TwinError> {
    if params.len() != kernel.params_size {
        return Err(TwinError::Params {
            kernel: kernel.label,
            expected: kernel.params_size,
            given: params.len(),
        });
    }
    if data.len() != kernel.bindings.len() {
        return Err(TwinError::Buffers {
            kernel: kernel.label,
            expected: kernel.bindings.len(),
            given: data.len(),
        });
    }
    for (binding, data) in kernel.bindings.iter().zip(data.iter()) {
        if binding.access == Access::ReadWrite && matches!(data, Data::Read(_)) {
            return Err(TwinError::ReadOnly {
                kernel: kernel.label,
                binding: binding.name,
            });
        }
    }
    let twin = twin(kernel.name).ok_or(TwinError::NoTwin { kernel: kernel.label })?;
    twin(&mut Buffers::new(kernel, params, data), grid.map(|n| n as usize))
}

/// A twin: buffers with the kernel they are bound to, and the grid.
type Twin = fn(&mut Buffers<'_, '_>, [usize; 3]) -> Result<(), TwinError>;

fn twin(name: &str) -> Option<Twin> {
    Some(match name {
        "add_position" => add_position::run,
        "ask_rows" => ask_rows::run,
        "ask_slots" => ask_slots::run,
        "attention_merge" => attention_merge::run,
        "embed_rows" => embed_rows::run,
        "fold_chunk" => fold_chunk::run,
        "layer_norm" => layer_norm::run,
        "mat_mul" => mat_mul::run,
        "mat_vec" => mat_vec::run,
        "patchify" => patchify::run,
        "rms_norm" => rms_norm::run,
        "rope_kv" => rope_kv::run,
        "sample" => sample::run,
        "visual_attention" => visual_attention::run,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
