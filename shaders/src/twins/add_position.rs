//! Twin of `add_position.wgsl`: x[i] += table[index[i] mod rows].

use super::TwinError;
use super::buffers::Buffers;
use crate::add_position::Params;

const POSITION: usize = 0;
const INDEX: usize = 1;
const X: usize = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let length = 4 * p.d4 as usize;
    if p.rows == 0 {
        return Err(b.unfit("a table of no rows"));
    }
    for element in 0..(p.elements as usize).min(grid[1]) {
        let row = (b.word(INDEX, element)? % p.rows) as usize;
        for d in 0..length.min(4 * b.invocations(grid, 0)) {
            let sum = b.float(X, element * length + d)? + b.float(POSITION, row * length + d)?;
            b.set_float(X, element * length + d, sum)?;
        }
    }
    Ok(())
}
