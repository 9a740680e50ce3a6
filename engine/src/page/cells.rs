//! Text to character cells.
use crate::config::FoldConfig;

/// One drawn character and the cell where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The character to draw (a line break is already its visible mark).
    pub ch: char,
    /// Column of its first cell.
    pub column: usize,
    /// Line.
    pub row: usize,
    /// Cells it takes: 1, or 2 for a wide character.
    pub width: usize,
}

/// Places text on the cell grid of a page, in reading order, nothing cut off.
#[derive(Debug, Clone)]
pub struct Typesetter {
    columns: usize,
    rows: usize,
    newline: char,
}

impl Typesetter {
    /// The typesetter of a model's pages.
    pub fn new(config: &FoldConfig) -> Self {
        let (columns, rows) = config.cell_grid();
        Self { columns, rows, newline: config.page.newline }
    }
}
