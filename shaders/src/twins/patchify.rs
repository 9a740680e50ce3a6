//! Twin of `patchify.wgsl`: patches of 8-bit pages, flattened as (channel, row, column), from -1 to 1.

use super::TwinError;
use super::buffers::Buffers;
use crate::patchify::Params;

const PAGES: usize = 0;
const INDEX: usize = 1;
const Y: usize = 2;

pub(super) fn run(b: &mut Buffers<'_, '_>, grid: [usize; 3]) -> Result<(), TwinError> {
    let p: Params = b.params()?;
    let (height, width) = (p.patch_height as usize, p.patch_width as usize);
    let (page_height, page_width) = (p.image_height as usize, p.image_width as usize);
    if height == 0 || width == 0 || page_height < height || page_width < width {
        return Err(b.unfit("a patch must have pixels and fit into the page"));
    }
    let (rows, columns) = (page_height / height, page_width / width);
    let length = p.channels as usize * height * width;
    let written = length.min(b.invocations(grid, 0));
    for patch in 0..(p.patches as usize).min(grid[1]) {
        let which = b.word(INDEX, patch)? as usize;
        let (page, place) = (which / (rows * columns), which % (rows * columns));
        let (top, left) = (place / columns * height, place % columns * width);
        let mut at = 0;
        // A page is gray: every channel holds the same.
        for _channel in 0..p.channels {
            for row in top..top + height {
                for column in left..left + width {
                    if at < written {
                        let pixel = (page * page_height + row) * page_width + column;
                        let gray = b.word(PAGES, pixel / 4)?.to_le_bytes()[pixel % 4];
                        let value = (f32::from(gray) / 255.0 - 0.5) / 0.5;
                        b.set_float(Y, patch * length + at, value)?;
                    }
                    at += 1;
                }
            }
        }
    }
    Ok(())
}
