//! The fuzz targets as plain tests over some random inputs. (Fuzzing has found nothing yet; what it finds comes here.)

#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod targets;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_do_no_harm(
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
        head in prop::sample::select(vec![&b""[..], b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0", b"\x80\0\0\0\0\0\0\0{\"", b"{\"format\":"]),
    ) {
        targets::page(&bytes);
        bytes.splice(0..0, head.iter().copied());
        targets::safetensors(&bytes);
        targets::gguf(&bytes);
        targets::session(&bytes);
    }

    #[test]
    fn random_text_is_drawn_whole(text in "\\PC{0,400}", size in 1u8..9) {
        targets::page(&[&[size], text.as_bytes()].concat());
    }
}
