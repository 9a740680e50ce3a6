//! Twin of `rope_kv.wgsl`: fused projections to query heads and new KV rows, with q/k norm and RoPE (rotate-half).

use super::TwinError;
use super::buffers::Buffers;
use super::rms_norm;
use crate::Style;
use crate::rope_kv::Params;

const QKV: usize = 0;
const ROPE: usize = 1;
const NORMS: usize = 2;
const Q: usize = 3;
const K: usize = 4;
const V: usize = 5;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let (heads, kv_heads, dim) = (p.heads as usize, p.kv_heads as usize, p.head_dim as usize);
    let all = heads + 2 * kv_heads;
    let done = if Style::of(b.kernel) == Some(Style::Serial) {
        b.invocations(grid, 0).min(all)
    } else if grid[0] > all {
        return Err(b.unfit("more workgroups than heads"));
    } else {
        grid[0]
    };
    for element in 0..grid[1] {
        let position = p.position0 as usize + element;
        let row = p.kv_row0 as usize + element;
        for head in 0..done {
            let mut x = b.floats(QKV, (element * all + head) * dim, dim)?.to_vec();
            let (binding, at, norm) = if head < heads {
                (Q, element * heads + head, Some(0))
            } else if head < heads + kv_heads {
                (K, row * kv_heads + head - heads, Some(dim))
            } else {
                (V, row * kv_heads + head - heads - kv_heads, None)
            };
            // Values are stored as they are.
            if let Some(norm) = norm {
                if p.has_norm != 0 {
                    let scale = rms_norm::inverse_rms(&x, p.eps);
                    for (x, w) in x.iter_mut().zip(b.floats(NORMS, norm, dim)?) {
                        *x = *x * scale * w;
                    }
                }
                rotate(&mut x, b.floats(ROPE, position * dim, dim)?);
            }
            b.set_floats(binding, at * dim, &x)?;
        }
    }
    Ok(())
}

/// Turns pair i, (x[i], x[i + half]), by the angle whose (cos, sin) is `turns[2i..]`.
fn rotate(x: &mut [f32], turns: &[f32]) {
    let half = x.len() / 2;
    for i in 0..half {
        let (cos, sin) = (turns[2 * i], turns[2 * i + 1]);
        let (a, b) = (x[i], x[half + i]);
        x[i] = a * cos - b * sin;
        x[half + i] = b * cos + a * sin;
    }
}
