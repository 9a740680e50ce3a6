//! Weights to a machine, in pieces: the host never holds more than one tensor and a little.

use super::machine::Machine;
use super::recording::Buffer;
use super::source::TensorSource;
use crate::checkpoint::{StoredType, TensorSpec, q5_0_as_q8_0};
use crate::{Error, Result};
use folio_shaders::Weight;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::borrow::Cow;
use std::ops::Range;

/// Bytes that are converted and sent at a time.
const PIECE: usize = 8 << 20;

/// Size of a matrix in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Word at which the scales begin (quantised weights).
    pub(super) scales: u32,
    /// Bytes of all.
    pub(super) bytes: u64,
}

/// Sends weights, and says how far it is.
pub(super) struct Uploader<'a, M> {
    pub(super) machine: &'a mut M,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) progress: &'a mut dyn FnMut(f32),
}

impl<M: Machine> Uploader<'_, M> {
    fn advance(&mut self, parameters: usize) {
        self.done += parameters as u64;
        (self.progress)(self.done as f32 / self.total.max(1) as f32);
    }

    /// One buffer of f32 values: small tensors one after another.
    pub(super) fn vector(&mut self, source: &dyn TensorSource, specs: &[&TensorSpec]) -> Result<Buffer> {
        let mut values = Vec::new();
        for spec in specs {
            values.extend(source.values(spec)?);
        }
        self.advance(values.len());
        let buffer = self.machine.create(&specs[0].name, 4 * values.len() as u64)?;
        self.machine.upload(buffer, 0, bytemuck::cast_slice(&values))?;
        Ok(buffer)
    }

    /// One buffer of rows of matrices, one piece under the other.
    pub(super) fn matrix(
        &mut self,
        source: &dyn TensorSource,
        pieces: &[(&TensorSpec, Range<usize>)],
        weight: Weight,
        inputs: usize,
        layout: Layout,
    ) -> Result<Buffer> {
        let buffer = self.machine.create(&pieces[0].0.name, layout.bytes)?;
        let mut offset = 0;
        let mut scales: Vec<f16> = Vec::new();
        // Rows are whole numbers of blocks and of words, so every piece is, too.
        let step = (PIECE / (4 * inputs)).max(1);
        for (spec, range) in pieces {
            let stored = source.stored_type(spec)?;
            for start in range.clone().step_by(step) {
                let rows = start..(start + step).min(range.end);
                let count = rows.len() * inputs;
                let bytes = source.rows(spec, rows)?;
                let packed = pack(&bytes, stored, weight, &mut scales).ok_or_else(|| {
                    Error::Gpu(format!(
                        "tensor {} holds a value that f16 cannot, as which {stored} lies on a GPU",
                        spec.name
                    ))
                })?;
                self.machine.upload(buffer, offset, &packed)?;
                offset += packed.len() as u64;
                self.advance(count);
            }
        }
        if !scales.is_empty() {
            if scales.len() % 2 == 1 {
                scales.push(f16::ZERO);
            }
            self.machine
                .upload(buffer, 4 * u64::from(layout.scales), bytemuck::cast_slice(&scales))?;
        }
        Ok(buffer)
    }
}

/// Rows as a buffer of `weight` holds them; the scales of quantised blocks go to their own list. `None` when a value is
/// too large for the buffer's type.
fn pack<'a>(bytes: &'a [u8], stored: StoredType, weight: Weight, scales: &mut Vec<f16>) -> Option<Cow<'a, [u8]>> {
    Some(match (weight, stored) {
        (Weight::F16, StoredType::F16) | (Weight::F32, StoredType::F32) | (Weight::Bf16, _) => Cow::Borrowed(bytes),
        // `Matrix::load` asks for f32 when types are mixed, which holds all of them.
        (Weight::F32, _) => {
            let mut values = Vec::new();
            stored.decode(bytes, &mut values);
            Cow::Owned(bytemuck::cast_slice(&values).to_vec())
        }
        (Weight::F16, _) => {
            let mut values = Vec::new();
            stored.decode(bytes, &mut values);
            let mut narrow = vec![f16::ZERO; values.len()];
            narrow.convert_from_f32_slice(&values);
            if StoredType::F16.not_finite(bytemuck::cast_slice(&narrow)).is_some() {
                return None;
            }
            Cow::Owned(bytemuck::cast_slice(&narrow).to_vec())
        }
        (Weight::Q8_0, StoredType::Q5_0) => Cow::Owned(q8_0(&q5_0_as_q8_0(bytes), scales)),
        (Weight::Q8_0, _) => Cow::Owned(q8_0(bytes, scales)),
        (Weight::Q4_0, _) => {
            let mut out = Vec::with_capacity(bytes.len());
            for block in bytes.chunks_exact(18) {
                scales.push(f16::from_le_bytes([block[0], block[1]]));
                let nibble = |i: usize| {
                    if i < 16 {
                        block[2 + i] & 15
                    } else {
                        block[2 + i - 16] >> 4
                    }
                };
                out.extend((0..16).map(|i| nibble(2 * i) | nibble(2 * i + 1) << 4));
            }
            Cow::Owned(out)
        }
    })
}

fn q8_0(bytes: &[u8], scales: &mut Vec<f16>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for block in bytes.chunks_exact(34) {
        scales.push(f16::from_le_bytes([block[0], block[1]]));
        out.extend_from_slice(&block[2..]);
    }
    out
}
