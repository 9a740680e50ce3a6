//! A safetensors file of any bytes: opened, every tensor checked and read.

#![no_main]

use folio_engine::checkpoint::{Checkpoint, tensors};
use folio_engine::config::preset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // GGUF files have their own target.
    if bytes.starts_with(b"GGUF") {
        return;
    }
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes.to_vec(), "fuzz") else {
        return;
    };
    let mut config = preset("folio-nano").expect("preset");
    config.text.num_hidden_layers = 1;
    checkpoint.check(&config).ok();
    for spec in tensors(&config) {
        checkpoint.read_f32(&spec).ok();
        checkpoint.stored_rows(&spec, 1..2).ok();
    }
});
