//! Pages: finished text drawn on a grid of character cells that is aligned with the patch grid (spec section 4).

mod cells;
mod font;
mod glyph;
mod image;
mod patches;

pub use cells::{Cell, Cursor, MAX_MARKS, Typesetter};
pub use font::FontStack;
pub use image::{PageImage, PageRenderer, Tint};
pub use patches::Patches;
