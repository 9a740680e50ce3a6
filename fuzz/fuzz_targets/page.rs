//! Pages of any text, as tokens of any bytes: nothing is lost, everything fits its page, drawing gives an image.

#![no_main]

use folio_engine::config::preset;
use folio_engine::page::{FontStack, PageRenderer, Patches, Tint, Typesetter};
use folio_engine::text::Chunker;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else {
        return;
    };
    let config = preset("folio-nano").expect("preset");
    let fold = config.fold.as_ref().expect("it folds");
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
        let patches = Patches::new(&page, fold);
        assert!((1..=fold.visual_tokens).contains(&patches.slots));
    }
});
