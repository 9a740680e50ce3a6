//! Folio in a browser: what the page's Web Worker calls. `site/folio.js` is the face for everyone else.
//!
//! Everything that computes or decides is `folio-engine`; this crate only carries values across the border.

#![cfg(target_family = "wasm")]

mod device;
mod events;
mod failure;
mod files;
mod model;
mod settings;

pub use device::{adapter, wasm_bytes};
pub use files::WeightsFile;
pub use model::Model;

use wasm_bindgen::prelude::*;

/// Runs once, when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    // A panic is a bug of ours: it must at least be readable.
    std::panic::set_hook(Box::new(|info| failure::log(&info.to_string())));
}
