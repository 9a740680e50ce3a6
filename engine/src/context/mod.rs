//! Segments, slots, positions and visibility: the one place where section 3 of the spec lives.
//!
//! [`Context`] is the step-by-step bookkeeping that runners follow; [`Layout`] lays whole documents out as one sequence
//! for training-style forwards. Both are pure, and property tests hold them to the same positions and visible sets.

mod layout;
mod spans;
mod steps;

pub use layout::{Element, ElementKind, Layout, Piece};
pub use spans::{Commit, Span, Step};
pub use steps::{Context, Segment, SegmentKind};
