//! Folio's engine: VIST2 global context compression as a library.
//!
//! Finished text is drawn as pages ([`page`]), read by a vision encoder into a quarter of the tokens and *folded*
//! into the context ([`context`]) while the model goes on writing ([`session`]). See `ARCHITECTURE.md` for the layers.

pub mod checkpoint;
mod clock;
pub mod config;
pub mod context;
pub mod cost;
mod error;
pub mod gguf;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "burn")]
pub mod model;
pub mod page;
mod pending;
pub mod runner;
pub mod session;
pub mod text;

pub use error::{Error, Result};
pub use pending::{Pending, Wait, ready};
