//! Buffers as a twin sees them: numbered bindings, checked accesses.

use bytemuck::AnyBitPattern;

use super::{Data, TwinError};
use crate::Kernel;

type Result<T> = std::result::Result<T, TwinError>;

/// A kernel's parameters and buffers. Bindings are numbered from 0 in the order of [`Kernel::bindings`]; indices are
/// in 32-bit words.
pub(super) struct Buffers<'a, 'b> {
    pub(super) kernel: &'static Kernel,
    params: &'a [u8],
    data: &'a mut [Data<'b>],
}

impl<'a, 'b> Buffers<'a, 'b> {
    /// Sizes are checked already.
    pub(super) fn new(kernel: &'static Kernel, params: &'a [u8], data: &'a mut [Data<'b>]) -> Self {
        Self { kernel, params, data }
    }

    /// The parameters as the kernel's `Params`.
    pub(super) fn params<P: AnyBitPattern>(&self) -> Result<P> {
        bytemuck::try_pod_read_unaligned(self.params).map_err(|_| TwinError::Params {
            kernel: self.kernel.label,
            expected: size_of::<P>(),
            given: self.params.len(),
        })
    }

    /// Invocations of a grid along an axis.
    pub(super) fn invocations(&self, grid: [usize; 3], axis: usize) -> usize {
        grid[axis] * self.kernel.workgroup_size[axis] as usize
    }

    /// Words of a binding.
    pub(super) fn words(&self, binding: usize) -> &[u32] {
        match &self.data[binding] {
            Data::Read(words) => words,
            Data::Write(words) => words,
        }
    }

    /// A range of words.
    pub(super) fn slice(&self, binding: usize, start: usize, length: usize) -> Result<&[u32]> {
        let words = self.words(binding);
        let end = start.saturating_add(length);
        words
            .get(start..end)
            .ok_or_else(|| self.outside(binding, end.saturating_sub(1), words.len()))
    }

    /// A range of floats.
    pub(super) fn floats(&self, binding: usize, start: usize, length: usize) -> Result<&[f32]> {
        self.slice(binding, start, length).map(bytemuck::cast_slice)
    }

    pub(super) fn word(&self, binding: usize, index: usize) -> Result<u32> {
        let words = self.words(binding);
        words
            .get(index)
            .copied()
            .ok_or_else(|| self.outside(binding, index, words.len()))
    }

    pub(super) fn float(&self, binding: usize, index: usize) -> Result<f32> {
        self.word(binding, index).map(f32::from_bits)
    }

    pub(super) fn set_word(&mut self, binding: usize, index: usize, value: u32) -> Result<()> {
        let length = self.words(binding).len();
        let outside = self.outside(binding, index, length);
        match &mut self.data[binding] {
            Data::Write(words) => {
                *words.get_mut(index).ok_or(outside)? = value;
                Ok(())
            }
            Data::Read(_) => Err(TwinError::ReadOnly {
                kernel: self.kernel.label,
                binding: self.kernel.bindings[binding].name,
            }),
        }
    }

    pub(super) fn set_float(&mut self, binding: usize, index: usize, value: f32) -> Result<()> {
        self.set_word(binding, index, value.to_bits())
    }

    /// Sets a range of floats.
    pub(super) fn set_floats(&mut self, binding: usize, start: usize, values: &[f32]) -> Result<()> {
        for (i, value) in values.iter().enumerate() {
            self.set_float(binding, start + i, *value)?;
        }
        Ok(())
    }

    /// The error for what the kernel is not made for.
    pub(super) fn unfit(&self, what: &'static str) -> TwinError {
        TwinError::Unfit {
            kernel: self.kernel.label,
            what,
        }
    }

    fn outside(&self, binding: usize, word: usize, words: usize) -> TwinError {
        TwinError::Outside {
            kernel: self.kernel.label,
            binding: self.kernel.bindings[binding].name,
            word,
            words,
        }
    }
}
