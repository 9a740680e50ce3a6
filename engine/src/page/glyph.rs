//! One character as a cell bitmap.

use super::FontStack;
use crate::config::PageConfig;
use ab_glyph::{Font, FontArc, Glyph, GlyphId, PxScale, point};

/// Ink of one character over its cell or cells, `height × width` values, 0 (none) to 255 (full).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap {
    pub(super) width: usize,
    pub(super) ink: Box<[u8]>,
}

/// Draws `ch` into `cells` cells. Ink never leaves the cells: the text of one patch is drawn in that patch alone.
pub(super) fn draw(ch: char, cells: usize, mark: bool, page: &PageConfig, fonts: &FontStack) -> Bitmap {
    let (width, height) = (page.cell_width * cells, page.cell_height);
    let mut bitmap = Bitmap {
        width,
        ink: vec![0; width * height].into(),
    };
    match fonts.find(ch) {
        Some((font, id)) => outline(&mut bitmap, height, font, id, page, cells, mark),
        None if mark => missing_mark(&mut bitmap),
        None if ch == ' ' || ch.is_whitespace() && !ch.is_control() => {}
        None => missing(&mut bitmap, height),
    }
    bitmap
}

fn outline(
    bitmap: &mut Bitmap,
    height: usize,
    font: &FontArc,
    id: GlyphId,
    page: &PageConfig,
    cells: usize,
    mark: bool,
) {
    let (box_width, box_height) = (bitmap.width as f32, height as f32);
    let em = font.units_per_em().unwrap_or(1.0);
    let advance = font.h_advance_unscaled(id);
    // Pixels per font unit. Tall fonts (East Asian ones ask for 1.45 em a line) would come out small by ascent and
    // descent: they are set by their em instead, and wide characters, which fill their em square, at full size.
    let unit = if cells > 1 {
        page.font_px / em
    } else {
        page.font_px / font.height_unscaled().min(1.2 * em)
    };
    let middle = if cells > 1 {
        0.38 * em
    } else {
        ((font.ascent_unscaled() + font.descent_unscaled()) / 2.0).min(0.36 * em)
    };
    // A whole-pixel baseline keeps horizontal strokes sharp.
    let baseline = (box_height / 2.0 + middle * unit).round();
    // A glyph wider than its cells is squeezed, not cut.
    let squeeze = (box_width / (advance * unit).max(1e-3)).min(1.0);
    let drawn_advance = advance * unit * squeeze;
    // A mark without an advance of its own has its outline to the left of its origin: start where the base ends.
    let x = if mark && advance == 0.0 {
        box_width
    } else {
        (box_width - drawn_advance) / 2.0
    };
    let scale = unit * font.height_unscaled();
    let glyph = Glyph {
        id,
        scale: PxScale {
            x: scale * squeeze,
            y: scale,
        },
        position: point(x, baseline),
    };
    let Some(outlined) = font.outline_glyph(glyph) else {
        return;
    };
    let bounds = outlined.px_bounds();
    let (left, top) = (bounds.min.x as i64, bounds.min.y as i64);
    outlined.draw(|x, y, coverage| {
        let (x, y) = (left + i64::from(x), top + i64::from(y));
        if (0..bitmap.width as i64).contains(&x) && (0..height as i64).contains(&y) {
            // The only place where coverage becomes bytes.
            bitmap.ink[y as usize * bitmap.width + x as usize] = (coverage.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        }
    });
}

/// A hollow box.
fn missing(bitmap: &mut Bitmap, height: usize) {
    let inset = |n: usize| if n >= 8 { n / 8 } else { 0 };
    let (x0, y0) = (inset(bitmap.width), inset(height));
    let (x1, y1) = (bitmap.width - x0, height - y0);
    for y in y0..y1 {
        for x in x0..x1 {
            if y == y0 || y + 1 == y1 || x == x0 || x + 1 == x1 {
                bitmap.ink[y * bitmap.width + x] = 255;
            }
        }
    }
}

/// A bar on the cell's top edge, so that the base stays readable.
fn missing_mark(bitmap: &mut Bitmap) {
    let width = bitmap.width;
    bitmap.ink[width / 4..width - width / 4].fill(255);
}
