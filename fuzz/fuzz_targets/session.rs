//! A session file of any bytes, with the model and without.

#![no_main]

use folio_engine::config::{Config, preset};
use folio_engine::session::SavedSession;
use folio_engine::text::{Tokenizer, byte_level_tokenizer_json};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn model() -> &'static (Config, Tokenizer) {
    static MODEL: OnceLock<(Config, Tokenizer)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let json = byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 1)]);
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), "fuzz").expect("tokenizer");
        (preset("folio-nano").expect("preset"), tokenizer)
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(saved) = SavedSession::from_json(bytes, "fuzz", "model", "fonts") {
        let (config, tokenizer) = model();
        saved.check(config, tokenizer).ok();
        let json = saved.to_json().expect("what was read can be written");
        assert_eq!(SavedSession::from_json(&json, "fuzz", "model", "fonts").expect("and read again"), saved);
    }
});
