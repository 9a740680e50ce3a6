//! What the benchmark programs share: models to measure with, prompts and pages, and the measurements themselves.

// Progress goes to stderr, as in the programs.
#![allow(clippy::print_stderr)]

pub mod checkpoint;
pub mod cpu_time;
pub mod material;
pub mod memory;
pub mod prompt;
#[cfg(test)]
mod stand_in;
pub mod statistics;
pub mod steps;
