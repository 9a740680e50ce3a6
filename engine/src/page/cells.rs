//! Text to character cells (spec section 4).

use crate::config::FoldConfig;
use unicode_width::UnicodeWidthChar;

/// Zero-width characters that one cell takes; the next one stands in a cell of its own, so that a page's text is bounded.
pub const MAX_MARKS: u8 = 3;

/// One drawn character and the cell where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The character to draw (a line break is already its visible mark, a tab a space).
    pub ch: char,
    /// Column of its first cell.
    pub column: usize,
    /// Line.
    pub row: usize,
    /// Cells it takes: 1, or 2 for a wide character.
    pub width: usize,
    /// A zero-width character, drawn over the character in the same cell. All other cells never overlap.
    pub mark: bool,
}

/// Where the next character of a page goes. Made by [`Typesetter::start`], moved by [`Typesetter::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Cells used so far, which is also the index of the next free cell in reading order.
    used: usize,
    /// First cell of the last character, where marks go.
    last: usize,
    /// Width of the last character; 0 at the start of a page.
    last_width: u8,
    /// Marks on the last character.
    marks: u8,
    /// The last character was a carriage return.
    after_cr: bool,
}

impl Cursor {
    /// Cells used so far (a cell left blank before a wide character counts).
    pub fn used(&self) -> usize {
        self.used
    }
}

/// What became of one character.
enum Placed {
    /// It stands in `cell` (linear index), drawn as `ch`.
    At {
        ch: char,
        cell: usize,
        width: usize,
        mark: bool,
    },
    /// The line feed of a CR LF pair: the carriage return's mark stands for both.
    Merged,
    /// No room. The cursor has not moved.
    Full,
}

/// Places text on the cell grid of a page, in reading order, nothing cut off.
///
/// - A line break (LF, CR, or CR LF as one) is one visible mark; the text goes on in the next cell.
/// - A tab is one blank cell. Other control characters take one cell and have no glyph.
/// - Wide characters (width 2 in Unicode's East Asian Width) take two cells of one line; the last cell of the line
///   stays blank when only one is left.
/// - Zero-width characters are drawn over the character before them, up to [`MAX_MARKS`] of them; at the start of a
///   page or beyond the limit they take one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typesetter {
    columns: usize,
    rows: usize,
    newline: char,
}

impl Typesetter {
    /// The typesetter of a model's pages.
    pub fn new(config: &FoldConfig) -> Self {
        let (columns, rows) = config.cell_grid();
        Self::with_grid(columns, rows, config.page.newline)
    }

    /// A typesetter for any grid of cells; `newline` is drawn for a line break.
    pub fn with_grid(columns: usize, rows: usize, newline: char) -> Self {
        Self { columns, rows, newline }
    }

    /// Cells per line.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Lines per page.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Cells per page: the most characters of width 1 that a page holds.
    pub fn capacity(&self) -> usize {
        self.columns * self.rows
    }

    /// The cursor of an empty page.
    pub fn start(&self) -> Cursor {
        Cursor::default()
    }

    /// Moves `cursor` over the longest prefix of `text` that fits and gives its length in bytes.
    ///
    /// Costs time by the length of `text`, not by what the page already holds.
    pub fn advance(&self, cursor: &mut Cursor, text: &str) -> usize {
        // Most tokens are plain ASCII: one cell a byte.
        if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            let n = text.len().min(self.capacity() - cursor.used);
            if n > 0 {
                let used = cursor.used + n;
                *cursor = Cursor {
                    used,
                    last: used - 1,
                    last_width: 1,
                    marks: 0,
                    after_cr: false,
                };
            }
            return n;
        }
        for (at, ch) in text.char_indices() {
            if matches!(self.place(cursor, ch), Placed::Full) {
                return at;
            }
        }
        text.len()
    }

    /// Whether the whole of `text` fits on one page.
    pub fn fits(&self, text: &str) -> bool {
        self.advance(&mut self.start(), text) == text.len()
    }

    /// Splits `text` into what fits on one page and the rest.
    pub fn split<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        text.split_at(self.advance(&mut self.start(), text))
    }

    /// The cells of a page, in reading order: those of the longest prefix of `text` that fits.
    pub fn layout(&self, text: &str) -> Vec<Cell> {
        let mut cursor = self.start();
        let mut cells = Vec::with_capacity(text.len().min(self.capacity()));
        for ch in text.chars() {
            match self.place(&mut cursor, ch) {
                Placed::At { ch, cell, width, mark } => {
                    let (column, row) = (cell % self.columns, cell / self.columns);
                    cells.push(Cell {
                        ch,
                        column,
                        row,
                        width,
                        mark,
                    });
                }
                Placed::Merged => {}
                Placed::Full => break,
            }
        }
        cells
    }

    fn place(&self, cursor: &mut Cursor, ch: char) -> Placed {
        if ch == '\n' && cursor.after_cr {
            cursor.after_cr = false;
            return Placed::Merged;
        }
        let (drawn, width) = match ch {
            '\n' | '\r' => (self.newline, 1),
            '\t' => (' ', 1),
            // `None` is a control character: it has no glyph and shows as the missing-glyph box.
            _ => (ch, ch.width().unwrap_or(1).min(2).min(self.columns)),
        };
        if width == 0 && cursor.last_width > 0 && cursor.marks < MAX_MARKS {
            cursor.marks += 1;
            cursor.after_cr = false;
            return Placed::At {
                ch: drawn,
                cell: cursor.last,
                width: cursor.last_width.into(),
                mark: true,
            };
        }
        let width = width.max(1);
        let mut cell = cursor.used;
        if width == 2 && self.columns > 0 && cell % self.columns == self.columns - 1 {
            cell += 1;
        }
        if cell + width > self.capacity() {
            return Placed::Full;
        }
        *cursor = Cursor {
            used: cell + width,
            last: cell,
            last_width: width as u8,
            marks: 0,
            after_cr: ch == '\r',
        };
        Placed::At {
            ch: drawn,
            cell,
            width,
            mark: false,
        }
    }
}
