//! What the auxiliary losses should read from a page: the character of every cell, the tokens of every patch.

use folio_engine::config::FoldConfig;
use folio_engine::page::Typesetter;
use folio_engine::text::Detokenizer;

/// Class of a cell without ink.
pub const BLANK: u8 = 0;
/// Class of the newline mark; printable ASCII has classes 1 (space) to 95 (`~`).
pub const NEWLINE: u8 = 96;
/// Class of every other character, and of both cells of a wide one.
pub const OTHER: u8 = 97;
/// Number of cell classes.
pub const CELL_CLASSES: usize = 98;

/// Labels of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// `slots × cells per patch` classes.
    pub cells: Vec<u8>,
    /// For each slot, the tokens whose text begins in it, in order.
    pub patch_tokens: Vec<Vec<u32>>,
}

/// The labels of a page that shows `text`, of which `slots` patches are kept.
///
/// `tokens` are the chunk's ids with their bytes; `utf8` holds the incomplete character that the chunk before left,
/// and afterwards the one that this chunk leaves.
pub fn labels<'b>(
    config: &FoldConfig,
    slots: usize,
    text: &str,
    tokens: impl Iterator<Item = (u32, &'b [u8])>,
    utf8: &mut Detokenizer,
) -> Labels {
    let grid = Grid::new(config);
    let typesetter = Typesetter::new(config);
    let mut cells = vec![BLANK; slots * grid.cells_per_patch()];
    for cell in typesetter.layout(text).iter().filter(|cell| !cell.mark) {
        for column in cell.column..cell.column + cell.width {
            if let Some(class) = cells.get_mut(grid.cell(column, cell.row)) {
                *class = class_of(cell.ch, config.page.newline);
            }
        }
    }
    let mut patch_tokens = vec![Vec::new(); slots];
    let mut cursor = typesetter.start();
    for (id, bytes) in tokens {
        let at = cursor.used();
        utf8.feed(bytes, |text| {
            typesetter.advance(&mut cursor, text);
        });
        let patch = grid.cell(at % grid.columns, at / grid.columns) / grid.cells_per_patch();
        if let (false, Some(tokens)) = (bytes.is_empty(), patch_tokens.get_mut(patch)) {
            tokens.push(id);
        }
    }
    Labels { cells, patch_tokens }
}

fn class_of(ch: char, newline: char) -> u8 {
    match ch {
        _ if ch == newline => NEWLINE,
        ' '..='~' => ch as u8 - b' ' + 1,
        _ => OTHER,
    }
}

/// Where cells lie in patches.
struct Grid {
    /// Cells per line of the page.
    columns: usize,
    /// Cells per line of a patch, and lines of a patch.
    patch: (usize, usize),
}

impl Grid {
    fn new(config: &FoldConfig) -> Self {
        let (vision, page) = (&config.vision, &config.page);
        let patch = (
            vision.patch_width / page.cell_width,
            vision.patch_height / page.cell_height,
        );
        Self {
            columns: config.cell_grid().0,
            patch,
        }
    }

    fn cells_per_patch(&self) -> usize {
        self.patch.0 * self.patch.1
    }

    /// Index of a cell among the cells of all patches, patch after patch.
    fn cell(&self, column: usize, row: usize) -> usize {
        let (width, height) = self.patch;
        let patch = row / height * (self.columns / width) + column / width;
        patch * self.cells_per_patch() + row % height * width + column % width
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use folio_engine::config::preset;

    /// Pages of 40 by 16 cells, strips of 20 cells.
    fn nano() -> FoldConfig {
        let mut config = preset("folio-nano").unwrap().fold.unwrap();
        (config.vision.image_width, config.vision.image_height) = (320, 256);
        (config.vision.patch_width, config.vision.patch_height) = (160, 16);
        config
    }

    fn of(config: &FoldConfig, slots: usize, tokens: &[(u32, &'static [u8])]) -> Labels {
        let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.1).copied().collect();
        labels(
            config,
            slots,
            &String::from_utf8_lossy(&bytes),
            tokens.iter().copied(),
            &mut Detokenizer::default(),
        )
    }

    #[test]
    fn strips_hold_the_text_in_reading_order() {
        let found = of(
            &nano(),
            2,
            &[
                (7, b"A"),
                (0, b""),
                (8, b" b"),
                (9, "\u{e9}".as_bytes()),
                (5, b"\n"),
                (6, b"0123456789abcdef"),
                (4, b"~~~"),
            ],
        );
        assert_eq!(found.cells.len(), 40);
        assert_eq!(found.cells[..6], [34, 1, 67, OTHER, NEWLINE, 17]);
        assert_eq!(found.cells[20..26], [71, 95, 95, 95, BLANK, BLANK]);
        assert_eq!(found.patch_tokens, [vec![7, 8, 9, 5, 6], vec![4]]);
    }

    #[test]
    fn square_patches_hold_lines_of_cells() {
        let mut config = nano();
        (config.vision.patch_width, config.vision.patch_height) = (16, 32);
        let (line, next) = ("x".repeat(40), "yz");
        let found = of(&config, 20, &[(1, line.leak().as_bytes()), (2, next.as_bytes())]);
        let (x, y) = (b'x' - 31, b'y' - 31);
        assert_eq!(found.cells[..8], [x, x, y, y + 1, x, x, BLANK, BLANK]);
        assert_eq!(found.patch_tokens[0], [1, 2]);
    }

    #[test]
    fn a_character_split_between_chunks_is_labelled_where_it_is_drawn() {
        let config = nano();
        let mut utf8 = Detokenizer::default();
        let first = labels(&config, 1, "a", [(1, &b"a\xc3"[..])].into_iter(), &mut utf8);
        assert_eq!(first.cells[..2], [66, BLANK]);
        let second = labels(
            &config,
            1,
            "\u{e9}b",
            [(2, &b"\xa9"[..]), (3, &b"b"[..])].into_iter(),
            &mut utf8,
        );
        assert_eq!(second.cells[..3], [OTHER, 67, BLANK]);
        assert_eq!(second.patch_tokens, [vec![2, 3]]);
    }
}
