//! Twin of `mat_mul.wgsl`: a linear layer over `tokens` rows of x.

use super::TwinError;
use super::buffers::Buffers;
use super::linear::Linear;
use crate::mat_mul::Params;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let tokens = grid[1] * b.kernel.constant("TOKENS") as usize;
    let layer = Linear {
        rows: p.rows,
        row0: p.row0,
        k4: p.k4,
        y_stride: p.y_stride,
        scales: p.scales,
        has_bias: p.has_bias,
        accumulate: p.accumulate,
        activation: p.activation,
        out_scale: p.out_scale,
        covered: (
            grid[0] * b.kernel.constant("ROWS") as usize,
            tokens.min(p.tokens as usize),
        ),
    };
    layer.run(b)
}
