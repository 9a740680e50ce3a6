//! What the fuzz targets do with their bytes. The engine's tests compile this file, too (`engine/tests/fuzzed`), and run it over
//! the inputs that were found and over random ones.

use folio_engine::checkpoint::{Checkpoint, tensors};
use folio_engine::config::{Config, preset};
use folio_engine::gguf::Gguf;
use folio_engine::page::{FontStack, PageRenderer, Patches, Tint, Typesetter};
use folio_engine::session::SavedSession;
use folio_engine::text::{ChatTemplate, Chunker, Message, Tokenizer, byte_level_tokenizer_json};
use std::sync::OnceLock;

/// A small model that folds, and its tokenizer.
fn model() -> &'static (Config, Tokenizer) {
    static MODEL: OnceLock<(Config, Tokenizer)> = OnceLock::new();
    MODEL.get_or_init(|| {
        let json = byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 1)]);
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), "fuzz").expect("tokenizer");
        let mut config = preset("folio-nano").expect("preset");
        config.text.num_hidden_layers = 1;
        if let Some(fold) = &mut config.fold {
            fold.reread_tokens = 4;
        }
        (config, tokenizer)
    })
}

/// A safetensors file of any bytes: opened, every tensor checked and read.
pub fn safetensors(bytes: &[u8]) {
    // GGUF files have their own target.
    if bytes.starts_with(b"GGUF") {
        return;
    }
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes.to_vec(), "fuzz") else {
        return;
    };
    let (config, _) = model();
    checkpoint.check(config).ok();
    for spec in tensors(config) {
        checkpoint.read_f32(&spec).ok();
        checkpoint.stored_rows(&spec, 1..2).ok();
    }
}

/// A GGUF file of any bytes: configuration, tokenizer, chat template, tensors.
pub fn gguf(bytes: &[u8]) {
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
}

/// A session file of any bytes: what is accepted can be checked against a model, written and read again.
pub fn session(bytes: &[u8]) {
    if let Ok(saved) = SavedSession::from_json(bytes, "fuzz", "model", "fonts") {
        let (config, tokenizer) = model();
        saved.check(config, tokenizer).ok();
        let json = saved.to_json().expect("what was read can be written");
        SavedSession::from_json(&json, "fuzz", "model", "fonts").expect("and read again");
    }
}

/// Pages of any text, in tokens of as many bytes as the first byte says: nothing is lost, everything fits its page.
pub fn page(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else {
        return;
    };
    let fold = model().0.fold.as_ref().expect("it folds");
    let mut chunker = Chunker::new(Typesetter::new(fold), fold.chunk_tokens);
    let mut chunks = Vec::new();
    for (id, token) in bytes.chunks(usize::from(size).max(1)).enumerate() {
        chunker.step(id as u32, token, |chunk| chunks.push(chunk));
    }
    chunks.extend(chunker.finish());
    let text: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(text, String::from_utf8_lossy(bytes), "text is lost or changed");
    let renderer = PageRenderer::new(fold, FontStack::embedded());
    for chunk in chunks.iter().take(2) {
        let page = renderer.render(&chunk.text, Tint::White);
        let slots = Patches::new(&page, fold).slots;
        assert!((1..=fold.visual_tokens).contains(&slots), "{slots} slots");
    }
}
