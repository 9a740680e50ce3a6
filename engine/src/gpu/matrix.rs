//! Weight matrices on a machine: in shards that a binding can hold, in the type that the checkpoint stores.

use super::machine::Machine;
use super::recording::Buffer;
use super::source::TensorSource;
use super::upload::{Layout, Uploader};
use crate::checkpoint::{StoredType, TensorSpec};
use crate::{Error, Result};
use folio_shaders::Weight;
use std::ops::Range;

/// Some rows of a matrix.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) buffer: Buffer,
    /// Outputs: rows, or pairs of rows in a gated matrix.
    pub(super) rows: usize,
    /// The first of them.
    pub(super) row0: usize,
    /// Word at which the scales of quantised weights begin.
    pub(super) scales: u32,
}

/// A linear layer's weights, or an embedding table.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) weight: Weight,
    pub(super) outputs: usize,
    /// Groups of four inputs.
    pub(super) k4: usize,
    pub(super) shards: Vec<Shard>,
}

/// How a tensor of this stored type lies in a buffer.
fn weight_of(stored: StoredType) -> Weight {
    match stored {
        // Types without kernels of their own: q5_0 is q8_0 with smaller numbers, and the others are rounded to f16, which is
        // as fine as the f16 scales that they are made of.
        StoredType::F16 | StoredType::Q4_1 | StoredType::Q4K | StoredType::Q6K => Weight::F16,
        StoredType::Q8_0 | StoredType::Q5_0 => Weight::Q8_0,
        StoredType::Q4_0 => Weight::Q4_0,
        StoredType::F32 => Weight::F32,
        StoredType::BF16 => Weight::Bf16,
    }
}

/// How tensors lie that make one matrix: one kernel reads them all, so they are of one type; f32 can hold each.
pub(super) fn weight_together(source: &dyn TensorSource, specs: &[&TensorSpec]) -> Result<Weight> {
    let mut weights = specs.iter().map(|spec| source.stored_type(spec).map(weight_of));
    let first = weights.next().transpose()?.unwrap_or(Weight::F32);
    for other in weights {
        if other? != first {
            return Ok(Weight::F32);
        }
    }
    Ok(first)
}

/// Bytes of `rows` rows of `inputs` values, and the word where the scales begin.
pub(super) fn matrix_layout(weight: Weight, rows: usize, inputs: usize) -> Layout {
    let values = rows * inputs;
    let (words, scales) = match weight {
        Weight::F32 => (values, 0),
        Weight::F16 | Weight::Bf16 => (values / 2, 0),
        Weight::Q8_0 => (values / 4, (values / 32).div_ceil(2)),
        Weight::Q4_0 => (values / 8, (values / 32).div_ceil(2)),
    };
    Layout {
        scales: words as u32,
        bytes: 4 * (words + scales) as u64,
    }
}

impl Matrix {
    /// Uploads the rows of `specs`, one tensor under the other. `gated`: two tensors of one shape, gate and up, whose
    /// rows stay together in each shard.
    pub(super) fn load<M: Machine>(
        up: &mut Uploader<'_, M>,
        source: &dyn TensorSource,
        specs: &[&TensorSpec],
        gated: bool,
    ) -> Result<Self> {
        let inputs: usize = specs[0].shape[1..].iter().product();
        let weight = weight_together(source, specs)?;
        if !inputs.is_multiple_of(4) {
            return Err(Error::Gpu(format!(
                "tensor {} has rows of {inputs} values: the GPU runner needs a multiple of 4",
                specs[0].name
            )));
        }
        let together = if gated { 2 } else { 1 };
        let all: usize = specs.iter().map(|s| s.shape[0]).sum();
        let outputs = all / together;
        let per_shard = rows_per_shard(up.machine.limits().binding_bytes, weight, inputs, together);
        if per_shard == 0 {
            return Err(Error::GpuTooSmall(format!(
                "one row of tensor {} is larger than what this GPU lets a kernel see ({} bytes)",
                specs[0].name,
                up.machine.limits().binding_bytes
            )));
        }
        let mut shards = Vec::new();
        for row0 in (0..outputs).step_by(per_shard) {
            let rows = per_shard.min(outputs - row0);
            let pieces: Vec<(&TensorSpec, Range<usize>)> = if gated {
                specs.iter().map(|s| (*s, row0..row0 + rows)).collect()
            } else {
                cut(specs, row0..row0 + rows)
            };
            let layout = matrix_layout(weight, rows * together, inputs);
            let buffer = up.matrix(source, &pieces, weight, inputs, layout)?;
            shards.push(Shard {
                buffer,
                rows,
                row0,
                scales: layout.scales,
            });
        }
        Ok(Self {
            weight,
            outputs,
            k4: inputs / 4,
            shards,
        })
    }
}

impl Matrix {
    /// Every buffer.
    pub(super) fn buffers(&self) -> impl Iterator<Item = Buffer> {
        self.shards.iter().map(|shard| shard.buffer)
    }
}

/// Outputs that fit one binding.
pub(super) fn rows_per_shard(binding: u64, weight: Weight, inputs: usize, together: usize) -> usize {
    // A block more, for the rounding of the scales.
    let row = matrix_layout(weight, 32 * together, inputs).bytes.div_ceil(32);
    (binding.saturating_sub(4) / row.max(1)) as usize
}

/// The rows `range` of tensors that lie one under the other.
fn cut<'a>(specs: &[&'a TensorSpec], range: Range<usize>) -> Vec<(&'a TensorSpec, Range<usize>)> {
    let mut start = 0;
    let mut pieces = Vec::new();
    for spec in specs {
        let end = start + spec.shape[0];
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            pieces.push((*spec, from - start..to - start));
        }
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_fit_their_binding_and_waste_less_than_two_rows() {
        for weight in Weight::ALL {
            for (inputs, together) in [(32, 1), (96, 2), (576, 1), (4096, 2)] {
                let binding = 1 << 20;
                let rows = rows_per_shard(binding, weight, inputs, together);
                assert!(matrix_layout(weight, rows * together, inputs).bytes <= binding);
                assert!(matrix_layout(weight, (rows + 2) * together, inputs).bytes > binding);
            }
        }
    }

    #[test]
    fn rows_are_cut_across_tensors() {
        let spec = |name: &str, rows| TensorSpec {
            name: name.into(),
            shape: vec![rows, 4],
        };
        let (a, b, c) = (spec("a", 3), spec("b", 2), spec("c", 4));
        let got: Vec<(String, Range<usize>)> = cut(&[&a, &b, &c], 2..7)
            .into_iter()
            .map(|(s, r)| (s.name.clone(), r))
            .collect();
        assert_eq!(got, [("a".into(), 2..3), ("b".into(), 0..2), ("c".into(), 0..2)]);
    }
}
