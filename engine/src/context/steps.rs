//! The context as it grows, one step at a time.

use std::ops::Range;

/// What a finished segment's slots hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// β visual tokens of one page.
    Visual,
    /// Raw text tokens that stay for good (BOS, short tails, role markers).
    Text,
}

/// A finished stretch of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// What it holds.
    pub kind: SegmentKind,
    /// How many slots it takes.
    pub slots: usize,
}

/// The ordered list of segments and the open chunk (spec section 3).
///
/// Slot index = position index = KV index, unless slots were evicted (the sliding-window control): then positions go
/// on as if nothing had been, and KV index = position − evicted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    segments: Vec<Segment>,
    memory: usize,
    /// Text behind the memory: what is read again, then the open chunk.
    open: usize,
    unfolded: usize,
    evicted: usize,
}

impl Context {
    /// An empty context.
    pub fn new() -> Self {
        Self::default()
    }

    /// The finished segments, oldest first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// P: slots held by finished segments.
    pub fn memory_slots(&self) -> usize {
        self.memory
    }

    /// Tokens in the open chunk, those included that were read again in front of it.
    pub fn open_slots(&self) -> usize {
        self.open
    }

    /// Tokens in front of the open chunk's own: text of pages, read again for this chunk only.
    pub fn unfolded_slots(&self) -> usize {
        self.unfolded
    }

    /// The KV rows of every page, oldest first.
    pub fn page_rows(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.segments.iter().filter_map(move |segment| {
            let start = end;
            end += segment.slots;
            (segment.kind == SegmentKind::Visual).then_some(start..end)
        })
    }

    /// All slots held now: P and the open chunk.
    pub fn slots(&self) -> usize {
        self.memory + self.open
    }

    /// Position of the next text token: `P + j` (plus what was evicted).
    pub fn next_position(&self) -> usize {
        self.evicted + self.memory + self.open
    }

    /// Adds `n` text tokens to the open chunk; gives their positions.
    pub fn extend(&mut self, n: usize) -> Range<usize> {
        let start = self.next_position();
        self.open += n;
        start..start + n
    }

    /// Puts `n` text tokens in front of the open chunk, which must be empty; gives their positions, `P … P+n-1`.
    ///
    /// They are text of pages that is read again. The open chunk goes on behind them as if they were its own (a training
    /// layout has them as such), and they go with its text when it is folded or dropped. Its page has only the chunk's
    /// own text, at `P … P+β-1` as ever.
    ///
    /// # Panics
    /// If the open chunk is not empty.
    pub fn unfold(&mut self, n: usize) -> Range<usize> {
        assert!(self.open == 0, "unfolding in front of {} open tokens", self.open);
        self.unfolded = n;
        self.extend(n)
    }

    /// Positions that `slots` visual tokens of a page folding the open chunk take: `P … P+β-1`, overlapping the text.
    pub fn fold_positions(&self, slots: usize) -> Range<usize> {
        let start = self.evicted + self.memory;
        start..start + slots
    }

    /// Folds the open chunk (of any length) into `slots` visual tokens; gives their positions.
    pub fn fold(&mut self, slots: usize) -> Range<usize> {
        let positions = self.fold_positions(slots);
        self.push(SegmentKind::Visual, slots);
        self.drop_open();
        positions
    }

    /// Keeps the open chunk as raw text for good, with what was read again in front of it.
    pub fn keep_open(&mut self) {
        self.push(SegmentKind::Text, self.open);
        self.drop_open();
    }

    /// Forgets the open chunk (the no-memory control), with what was read again in front of it.
    pub fn drop_open(&mut self) {
        self.open = 0;
        self.unfolded = 0;
    }

    /// Forgets the `n` oldest slots (the sliding-window control); positions go on.
    ///
    /// # Panics
    /// If fewer than `n` slots are held by finished segments.
    pub fn evict(&mut self, n: usize) {
        assert!(n <= self.memory, "evicting {n} of {} slots", self.memory);
        let mut left = n;
        let mut gone = 0;
        for segment in &mut self.segments {
            let take = left.min(segment.slots);
            segment.slots -= take;
            left -= take;
            gone += usize::from(segment.slots == 0);
            if left == 0 {
                break;
            }
        }
        self.segments.drain(..gone.min(self.segments.len()));
        self.memory -= n;
        self.evicted += n;
    }

    fn push(&mut self, kind: SegmentKind, slots: usize) {
        if slots > 0 {
            self.segments.push(Segment { kind, slots });
            self.memory += slots;
        }
    }
}
