//! End-to-end tests of the real `folio` program on tiny random models.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod bad_input;
mod common;
mod convert;
mod edges;
mod generate;
mod gguf;
mod headline;
mod other_commands;
mod score;
mod sessions;
mod unfold;
