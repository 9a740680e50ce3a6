//! Whole runs of a tiny model.
#![allow(clippy::unwrap_used, missing_docs)]

mod chain;
mod controls;
mod ends;
mod faults;
mod house;
mod overfit;
mod refusals;
mod resume;
