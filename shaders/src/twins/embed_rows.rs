//! Twin of `embed_rows.wgsl`: rows of an embedding table by id, those of one shard.

use super::TwinError;
use super::buffers::Buffers;
use super::weights;
use crate::embed_rows::Params;

const WEIGHTS: usize = 0;
const IDS: usize = 1;
const X: usize = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let length = 4 * p.k4 as usize;
    let written = length.min(4 * b.invocations(grid, 0));
    for token in 0..(p.tokens as usize).min(grid[1]) {
        let id = b.word(IDS, p.id0 as usize + token)?;
        let Some(row) = id.checked_sub(p.row0).filter(|row| *row < p.rows) else {
            continue;
        };
        let row = weights::row(b, WEIGHTS, p.scales, row as usize, length)?;
        b.set_floats(X, token * length, &row[..written])?;
    }
    Ok(())
}
