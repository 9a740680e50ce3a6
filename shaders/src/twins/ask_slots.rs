//! Twin of `ask_slots.wgsl`: what each slot is given by all queries and heads, added up.

use super::TwinError;
use super::ask_rows::score;
use super::buffers::Buffers;
use crate::ask_slots::Params;

const Q: usize = 0;
const K: usize = 1;
const SOFTMAX: usize = 2;
const ASKED: usize = 3;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    if p.group == 0 || !p.heads.is_multiple_of(p.group) {
        return Err(b.unfit("group must divide heads"));
    }
    for slot in 0..(p.slots as usize).min(b.invocations(grid, 0)) {
        let mut asked = 0.0;
        for row in 0..(p.queries * p.heads) as usize {
            let of = b.floats(SOFTMAX, 2 * row, 2)?;
            let (largest, sum) = (of[0], of[1]);
            let score = score(b, [Q, K], [p.heads, p.group, p.head_dim4], p.scale, row, slot)?;
            asked += (score - largest).exp() / sum;
        }
        let before = b.float(ASKED, slot)?;
        b.set_float(ASKED, slot, before + asked)?;
    }
    Ok(())
}
