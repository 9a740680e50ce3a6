//! Twin of `layer_norm.wgsl`: y = (x - mean) / sqrt(variance + eps) · w + b, row by row.

use super::TwinError;
use super::buffers::Buffers;
use super::rms_norm;
use crate::layer_norm::Params;

const X: usize = 0;
const WEIGHT: usize = 1;
const BIAS: usize = 2;
const Y: usize = 3;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let length = 4 * p.d4 as usize;
    for row in 0..rms_norm::rows(b, grid, p.rows)? {
        let x = b.floats(X, row * length, length)?;
        let mean = x.iter().sum::<f32>() / length as f32;
        let centred: Vec<f32> = x.iter().map(|x| x - mean).collect();
        let scale = rms_norm::inverse_rms(&centred, p.eps);
        let affine = b.floats(WEIGHT, 0, length)?.iter().zip(b.floats(BIAS, 0, length)?);
        let y: Vec<f32> = centred
            .iter()
            .zip(affine)
            .map(|(x, (w, bias))| x * scale * w + bias)
            .collect();
        b.set_floats(Y, row * length, &y)?;
    }
    Ok(())
}
