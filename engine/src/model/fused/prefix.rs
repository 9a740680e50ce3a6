//! Which rows of a KV buffer new elements see.

/// How many rows of a buffer each of some queries sees, counted from the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Every query sees as many.
    All(usize),
    /// Query `i` sees `before + i + 1`: what was there, and the new ones up to itself.
    Causal {
        /// Rows that were there.
        before: usize,
    },
    /// The first `queries` see `rows`, the others none.
    First {
        /// Queries that see something.
        queries: usize,
        /// What they see.
        rows: usize,
    },
}

impl Prefix {
    /// Rows that query `i` sees.
    #[inline]
    pub fn rows(self, i: usize) -> usize {
        match self {
            Self::All(rows) => rows,
            Self::Causal { before } => before + i + 1,
            Self::First { queries, rows } => {
                if i < queries {
                    rows
                } else {
                    0
                }
            }
        }
    }
}
