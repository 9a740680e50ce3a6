//! Damaged and hostile files: clear errors, never a panic.

use super::{hand_made, save, says, tiny};
use folio_engine::checkpoint::{Checkpoint, Dtype, tensors};
use proptest::prelude::*;

#[test]
fn damaged_files_are_refused() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    let file = dir.path().join("model.safetensors");
    says(Checkpoint::open(dir.path()), &["cannot read", "model.safetensors"]);
    save(dir.path(), &config, Dtype::F32);
    let whole = std::fs::read(&file).expect("read");
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).expect("write");
        says(
            Checkpoint::open(dir.path()),
            &["model.safetensors", "is truncated", &format!("{length} bytes")],
        );
    }
    std::fs::write(&file, [&whole[..], b"junk"].concat()).expect("write");
    says(Checkpoint::open(dir.path()), &["4 bytes after its last tensor"]);
    std::fs::write(&file, [&u64::MAX.to_le_bytes()[..], &whole[8..]].concat()).expect("write");
    says(
        Checkpoint::open(dir.path()),
        &["claims a header of 18446744073709551615 bytes"],
    );
    std::fs::write(&file, [&whole[..8], b"<html>", &whole[14..]].concat()).expect("write");
    says(Checkpoint::open(dir.path()), &["no valid safetensors file"]);
    std::fs::remove_file(&file).expect("remove");
    std::fs::create_dir(&file).expect("folder");
    says(Checkpoint::open(dir.path()), &["is not a file"]);
}

#[test]
fn hostile_headers_are_refused() {
    for header in [
        // Shapes and offsets whose products and sums overflow.
        r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        r#"{"a":{"dtype":"F64","shape":[144115188075855871],"data_offsets":[0,1152921504606846968]}}"#,
        r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#,
        r#"{"a":{"dtype":"U8","shape":[2305843009213693951],"data_offsets":[0,2305843009213693951]}}"#,
        // Overlapping, reversed, with a hole, of the wrong size.
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        "[1, 2]",
        "",
    ] {
        says(Checkpoint::from_bytes(hand_made(header, 8), "h"), &["h: "]);
    }
    // Sixteen tensors that fill all 64 bits of offsets but for the last eight bytes.
    let mut tensors = Vec::new();
    for i in 0..16u64 {
        let (from, to) = (i << 60, if i < 15 { (i + 1) << 60 } else { u64::MAX - 7 });
        tensors.push(format!(
            r#""t{i}":{{"dtype":"F64","shape":[{}],"data_offsets":[{from},{to}]}}"#,
            (to - from) / 8
        ));
    }
    says(
        Checkpoint::from_bytes(hand_made(&format!("{{{}}}", tensors.join(",")), 0), "h"),
        &["h: "],
    );
}

/// Opens, checks and reads everything that can be read.
fn use_all(bytes: Vec<u8>) {
    let config = tiny();
    if let Ok(checkpoint) = Checkpoint::from_bytes(bytes, "h") {
        let _ = checkpoint.check(&config);
        for spec in tensors(&config) {
            let _ = checkpoint.read_f32(&spec);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use_all(bytes.clone());
        // Also as a header of the right length.
        use_all([&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat());
    }

    #[test]
    fn random_entries_never_panic(
        entries in proptest::collection::vec(
            (
                prop::sample::select(vec!["aligner.bias", "aligner.weight", "w", "__metadata__"]),
                prop::sample::select(vec!["F32", "F16", "BF16", "U8", "I64", "F4", "BOOL"]),
                proptest::collection::vec(prop_oneof![0u64..20, any::<u64>()], 0..4),
                prop_oneof![0u64..64, any::<u64>()],
                prop_oneof![0u64..64, any::<u64>()],
            ),
            0..4,
        ),
        data in 0usize..100,
    ) {
        let entries: Vec<String> = entries
            .into_iter()
            .map(|(name, dtype, shape, from, to)| {
                format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{to}]}}"#)
            })
            .collect();
        use_all(hand_made(&format!("{{{}}}", entries.join(",")), data));
    }

    #[test]
    fn mutated_files_never_panic(
        edits in proptest::collection::vec((0.0f64..1.0, any::<u8>(), any::<bool>()), 1..6),
        cut in 0.0f64..2.0,
    ) {
        use std::sync::OnceLock;
        static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
        let mut bytes = WHOLE
            .get_or_init(|| {
                let dir = tempfile::tempdir().expect("folder");
                save(dir.path(), &tiny(), Dtype::F16);
                std::fs::read(dir.path().join("model.safetensors")).expect("read")
            })
            .clone();
        for (at, byte, in_header) in edits {
            let span = if in_header { 4000.min(bytes.len()) } else { bytes.len() };
            let at = (at * span as f64) as usize;
            bytes[at] = byte;
        }
        if cut < 1.0 {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        use_all(bytes);
    }
}
