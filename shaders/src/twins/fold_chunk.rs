//! Twin of `fold_chunk.wgsl`: rows of keys and values move within their buffers.

use super::TwinError;
use super::buffers::Buffers;
use crate::fold_chunk::Params;

const K: usize = 0;
const V: usize = 1;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    if p.from_row.abs_diff(p.to_row) < p.rows {
        return Err(b.unfit("rows that move onto each other: the kernel moves them in any order"));
    }
    let stride = 4 * p.stride4 as usize;
    let words = (p.rows as usize * stride).min(4 * b.invocations(grid, 0));
    for binding in [K, V] {
        for i in 0..words {
            let word = b.word(binding, p.from_row as usize * stride + i)?;
            b.set_word(binding, p.to_row as usize * stride + i, word)?;
        }
    }
    Ok(())
}
