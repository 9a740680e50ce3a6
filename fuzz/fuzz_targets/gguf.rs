//! A GGUF file of any bytes: configuration, tokenizer, chat template, tensors.

#![no_main]

use folio_engine::checkpoint::{Checkpoint, tensors};
use folio_engine::config::Config;
use folio_engine::gguf::Gguf;
use folio_engine::text::{ChatTemplate, Message, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::parse(bytes, bytes.len() as u64, "fuzz") else {
        return;
    };
    if let Ok(tokenizer) = Tokenizer::from_gguf(&gguf) {
        tokenizer.encode("hello <|im_end|> 1234\n").ok();
    }
    if let Ok(template) = ChatTemplate::from_gguf(&gguf) {
        template.render(&[Message::new("user", "Hi")], true).ok();
    }
    let checkpoint = Checkpoint::from_bytes(bytes.to_vec(), "fuzz");
    if let (Ok(config), Ok(checkpoint)) = (Config::from_gguf(&gguf), checkpoint) {
        checkpoint.check(&config).ok();
        for spec in tensors(&config) {
            checkpoint.read_f32(&spec).ok();
        }
    }
});
