//! Detokenizer and chunker.
#![allow(clippy::unwrap_used)]

use folio_engine::page::Typesetter;
use folio_engine::text::{Chunk, Chunker, Detokenizer, chunk_all};
use proptest::prelude::*;

fn push_all(pieces: &[&[u8]]) -> Vec<String> {
    let mut detokenizer = Detokenizer::default();
    let mut out: Vec<String> = pieces.iter().map(|p| detokenizer.push(p)).collect();
    out.push(detokenizer.finish());
    out
}

#[test]
fn a_character_comes_out_whole_and_garbage_at_once() {
    assert_eq!(push_all(&[b"a\xE6", b"\xB0", b"\xB4b"]), ["a", "", "水b", ""]);
    assert_eq!(push_all(&[b"\xF0\x9F", b"x"]), ["", "\u{FFFD}x", ""]);
    assert_eq!(push_all(&[b"\xFF"]), ["\u{FFFD}", ""]);
    assert_eq!(push_all(&[b"ok\xE6\xB0"]), ["ok", "\u{FFFD}"]);
}

fn chunker(columns: usize, rows: usize, k: usize) -> Chunker {
    Chunker::new(Typesetter::with_grid(columns, rows, '¶'), k)
}

fn numbered<'b>(tokens: &[&'b [u8]]) -> Vec<(u32, &'b [u8])> {
    (0..).zip(tokens.iter().copied()).collect()
}

fn texts(chunks: &[Chunk]) -> Vec<&str> {
    chunks.iter().map(|c| c.text.as_str()).collect()
}

#[test]
fn closes_at_k_tokens_and_before_a_token_that_does_not_fit() {
    let mut chunker = chunker(5, 1, 3);
    let mut chunks = chunk_all(&mut chunker, numbered(&[b"a", b"b", b"", b"cde", b"fgh", b"i"]));
    assert_eq!(texts(&chunks), ["ab", "cde"]);
    assert_eq!(
        (chunks[0].ids.as_slice(), chunks[1].ids.as_slice()),
        (&[0, 1, 2][..], &[3][..])
    );
    assert_eq!((chunker.open_ids(), chunker.open_text()), (&[4, 5][..], "fghi"));
    chunks = chunker.finish();
    assert_eq!(texts(&chunks), ["fghi"]);
    assert!(chunker.is_empty() && chunker.finish().is_empty());
}

#[test]
fn incomplete_bytes_move_to_the_next_page() {
    let mut chunker = chunker(8, 1, 2);
    let chunks = chunk_all(&mut chunker, numbered(&[b"a", b"\xE6\xB0", b"\xB4", b"b", b"\xE6"]));
    assert_eq!(texts(&chunks), ["a", "水b"]);
    assert_eq!(chunker.carry(), b"\xE6");
    assert_eq!(texts(&chunker.finish()), ["\u{FFFD}"]);
}

#[test]
fn a_token_longer_than_a_page_spills_over() {
    let mut chunker = chunker(4, 1, 9);
    let mut chunks = chunk_all(&mut chunker, numbered(&[b"x", b"abcdefghij", b"y", b"z", b"w"]));
    chunks.extend(chunker.finish());
    assert_eq!(texts(&chunks), ["x", "abcd", "efgh", "ijyz", "w"]);
    assert_eq!(chunks.iter().map(|c| c.ids[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

fn tokens() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let text = "[ -~\n\r\t]{0,6}".prop_map(String::into_bytes);
    let wide = "[一-三é\u{301}😀]{1,3}".prop_map(String::into_bytes);
    let raw = proptest::collection::vec(any::<u8>(), 0..4);
    let long = "[a-z水]{20,60}".prop_map(String::into_bytes);
    // Bytes of one text, cut anywhere, as byte-level BPE does.
    let cut = "[一-三😀a]{1,4}"
        .prop_map(|s| s.into_bytes())
        .prop_map(|b| b[..b.len() / 2 + 1].to_vec());
    proptest::collection::vec(prop_oneof![5 => text, 2 => wide, 1 => raw, 1 => long, 2 => cut], 0..80)
}

fn lossy(pieces: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&pieces.concat()).into_owned()
}

proptest! {
    #[test]
    fn detokenizer_equals_lossy_decoding(pieces in tokens()) {
        let refs: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(push_all(&refs).concat(), lossy(&pieces));
    }

    #[test]
    fn pages_hold_all_text_once_and_fit(pieces in tokens(), columns in 2usize..9, rows in 1usize..5, k in 1usize..12) {
        let typesetter = Typesetter::with_grid(columns, rows, '¶');
        let mut chunker = Chunker::new(typesetter.clone(), k);
        let refs: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut chunks = chunk_all(&mut chunker, numbered(&refs));
        prop_assert!(chunker.len() < k);
        chunks.extend(chunker.finish());
        let text: String = chunks.iter().map(|c| c.text.as_str()).collect();
        prop_assert_eq!(text, lossy(&pieces));
        let ids: Vec<u32> = chunks.iter().flat_map(|c| c.ids.clone()).collect();
        prop_assert_eq!(ids, (0..pieces.len() as u32).collect::<Vec<_>>());
        for chunk in &chunks {
            prop_assert!(chunk.ids.len() <= k);
            prop_assert!(typesetter.fits(&chunk.text), "{:?}", chunk.text);
        }
    }

    #[test]
    fn a_chunk_closes_no_sooner_than_it_must(pieces in tokens(), k in 1usize..12) {
        let typesetter = Typesetter::with_grid(6, 3, '¶');
        let mut chunker = Chunker::new(typesetter.clone(), k);
        for (id, bytes) in (0..).zip(&pieces) {
            if !chunker.fits(bytes) {
                let mut all = chunker.open_text().to_owned() + chunker.spill();
                let mut utf8 = Detokenizer::default();
                all += &utf8.push(chunker.carry());
                all += &utf8.push(bytes);
                prop_assert!(!typesetter.fits(&all), "{all:?} would have fitted");
                chunker.close();
            }
            if chunker.push(id, bytes) {
                prop_assert_eq!(chunker.len(), k);
                chunker.close();
            }
        }
    }
}
