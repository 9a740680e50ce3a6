//! Folio's GPU kernels: WGSL, the typed table that hosts bind by, and a plain-Rust twin of every kernel.
//!
//! This crate knows no GPU library. `build.rs` expands every variant of every `*.wgsl` file beside it, checks all of
//! them with naga against what every adapter can do (WebGPU's default limits; subgroup operations only in variants that
//! say so), and generates one module per file with its `Params`, its `Bindings`, `kernel` and `call`, and [`KERNELS`].
//!
//! # Adding a kernel
//! 1. Write `shaders/name.wgsl`. It begins with `//! ` lines that say what it computes and what bounds it on a GPU.
//!    `//! variants: WEIGHT = f32 f16; STYLE = serial plain` gives it axes: one WGSL module for each combination,
//!    with the flags `WEIGHT_f16` and `STYLE_plain` set. `STYLE_subgroup` variants may use subgroup operations.
//!    They carry no `enable subgroups;`: naga 29 does not know it (a browser would want it put before the source).
//! 2. Directives: `#import part` puts `shared/part.wgsl` there (once); `#if FLAG`, `#if !FLAG`, `#if A || B`,
//!    `#elif`, `#else`, `#endif` choose lines.
//! 3. The entry is `main`. `@group(0) @binding(0) var<uniform> p: Params;` holds `u32`, `i32` and `f32` only; storage
//!    buffers are bindings 1, 2, … All variants have the same `Params` and the same bindings. Comments right above a
//!    member or a binding become its documentation here.
//! 4. Module-scope `const NAME: u32` is what a host may ask for with [`Kernel::constant`], for its grid: they may
//!    differ between variants.
//! 5. Write its twin in `src/twins/name.rs` and add it to [`twins::run`]: the same function, written independently and
//!    as clearly as possible, over all variants. A test fails for a kernel without a twin.
//!
//! # Quantised weights
//! A matrix in one storage buffer of 32-bit words (of whole groups of four), its rows one after another, as
//! [`twins::weights`] reads them:
//! * f16: two values a word, the first in the low half; finite (`mat_vec` reads an infinity as a number on software
//!   adapters). Rows are multiples of 4 values (f32 and bf16 too).
//! * bf16: two values a word, the first in the low half: each the upper half of an f32.
//! * q8_0: four signed bytes a word, the first in the low byte; from word `Params::scales` on one f16 scale per block of
//!   32 values, two a word, the even block in the low half. Value = byte · scale. Rows are multiples of 32 values.
//! * q4_0: eight values a word, the first in the lowest four bits; scales likewise. Value = (bits - 8) · scale. Rows are
//!   multiples of 32 values.
//!
//! Scales are finite, like f16 weights.
//!
//! The numbers are those of GGUF's blocks of the same names; only their places differ, so that words are aligned.

pub mod twins;

#[cfg(test)]
#[path = "../build/mod.rs"]
mod build;

/// How a kernel uses a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It reads.
    Read,
    /// It reads and writes.
    ReadWrite,
}

/// A storage buffer of a kernel; its binding number is its place in [`Kernel::bindings`] + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Its name in the WGSL.
    pub name: &'static str,
    /// Whether it is written.
    pub access: Access,
}

/// One variant of a kernel. Its uniform parameters are group 0, binding 0; its storage buffers follow.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its place in [`KERNELS`].
    pub index: usize,
    /// The name of its file: `mat_vec`.
    pub name: &'static str,
    /// Name and variant: `mat_vec[f16,linear,plain]`.
    pub label: &'static str,
    /// The variant: axes and values.
    pub axes: &'static [(&'static str, &'static str)],
    /// WGSL, checked; the entry point is `main`.
    pub source: &'static str,
    /// Invocations of a workgroup.
    pub workgroup_size: [u32; 3],
    /// Storage buffers.
    pub bindings: &'static [Binding],
    /// Bytes of the uniform parameters, a multiple of 16.
    pub params_size: usize,
    /// Whether the adapter must have subgroups.
    pub subgroups: bool,
    /// `u32` constants at module scope.
    pub consts: &'static [(&'static str, u32)],
}

impl Kernel {
    /// A module-scope constant of the WGSL.
    ///
    /// # Panics
    /// If the variant has none of that name: a mistake in the host program.
    pub fn constant(&self, name: &str) -> u32 {
        match self.consts.iter().find(|(n, _)| *n == name) {
            Some((_, value)) => *value,
            None => panic!("{} has no constant {name}", self.label),
        }
    }

    /// The variant's value on an axis (`"WEIGHT"`).
    pub fn axis(&self, name: &str) -> Option<&'static str> {
        self.axes.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }
}

impl Style {
    /// Whether its variants use subgroups, of at least four lanes.
    pub fn subgroups(self) -> bool {
        matches!(self, Self::Broadcast | Self::Subgroup)
    }
}

/// A kernel with its parameters and the buffers bound to it; `T` is how the host names buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<T> {
    /// The variant to run.
    pub kernel: &'static Kernel,
    /// Bytes of the uniform parameters, [`Kernel::params_size`] of them.
    pub params: Vec<u8>,
    /// One per storage binding, in order.
    pub bindings: Vec<T>,
}

include!(concat!(env!("OUT_DIR"), "/table.rs"));
