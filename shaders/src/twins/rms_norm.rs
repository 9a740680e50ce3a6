//! Twin of `rms_norm.wgsl`: y = x / sqrt(mean(x²) + eps) · w, row by row.

use super::TwinError;
use super::buffers::Buffers;
use crate::Style;
use crate::rms_norm::Params;

const X: usize = 0;
const WEIGHT: usize = 1;
const Y: usize = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let length = 4 * p.d4 as usize;
    for row in 0..rows(b, grid, p.rows)? {
        let x = b.floats(X, (p.row0 as usize + row) * length, length)?;
        let weight = b.floats(WEIGHT, 0, length)?;
        let scale = inverse_rms(x, p.eps);
        let y: Vec<f32> = x.iter().zip(weight).map(|(x, w)| x * scale * w).collect();
        b.set_floats(Y, row * length, &y)?;
    }
    Ok(())
}

/// Rows that a norm of one row per invocation (serial) or per workgroup does.
pub(super) fn rows(b: &Buffers<'_, '_>, grid: [usize; 3], rows: u32) -> Result<usize, TwinError> {
    if Style::of(b.kernel) == Some(Style::Serial) {
        return Ok(b.invocations(grid, 0).min(rows as usize));
    }
    if grid[0] > rows as usize {
        return Err(b.unfit("more workgroups than rows"));
    }
    Ok(grid[0])
}

/// 1 / sqrt(mean(x²) + eps).
pub(super) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let squares: f32 = x.iter().map(|x| x * x).sum();
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}
