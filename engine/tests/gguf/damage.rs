//! Damaged and hostile files: clear errors, never a panic, never more memory than the file's own size calls for.

use super::models::file;
use super::writer::{Meta, Tensor};
use super::{put, put_bytes, says};
use folio_engine::checkpoint::{Checkpoint, tensors};
use folio_engine::config::{Config, TextModelType};
use folio_engine::gguf::Gguf;
use folio_engine::text::{ChatTemplate, Tokenizer};
use folio_engine::{Error, Result};
use proptest::prelude::*;
use std::path::Path;

/// Everything that a program does with a file.
fn use_all(path: &Path) -> Result<(), Error> {
    let config = Config::from_gguf(&Gguf::open(path)?)?;
    let checkpoint = Checkpoint::open(path)?;
    checkpoint.check(&config)?;
    for spec in tensors(&config) {
        checkpoint.read_f32(&spec)?;
    }
    Tokenizer::load(path)?.encode("hello <|im_end|>")?;
    ChatTemplate::load(path).map(drop)
}

#[test]
fn a_file_that_ends_too_early_is_told() {
    let whole = file(TextModelType::Qwen3, true).bytes();
    for length in [5, 8, 23, 24, 100, whole.len() / 40, whole.len() / 2, whole.len() - 64] {
        let (_dir, path) = put_bytes(&whole[..length]);
        says(Gguf::open(&path), &["model.bin", "fetch it again"]);
    }
    let (_dir, path) = put_bytes(b"");
    says(Gguf::open(&path), &["is empty"]);
    let (_dir, path) = put_bytes(b"GGML\0\0\0\0");
    says(Gguf::open(&path), &["is no GGUF file"]);
}

#[test]
fn versions_and_counts_are_bounded() {
    let whole = file(TextModelType::Qwen3, true).bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        put_bytes(&file)
    };
    for (at, bytes, what) in [
        (4, &1u32.to_le_bytes()[..], "version 1: 2 and 3 can be read"),
        (4, &3u32.to_be_bytes()[..], "big-endian"),
        (
            8,
            &u64::MAX.to_le_bytes()[..],
            "the number of tensors is 18446744073709551615",
        ),
        (
            16,
            &u64::MAX.to_le_bytes()[..],
            "the number of metadata keys is 18446744073709551615",
        ),
        // The first key's length.
        (
            24,
            &(u64::MAX - 7).to_le_bytes()[..],
            "metadata key 0 takes 18446744073709551608 bytes",
        ),
    ] {
        let (_dir, path) = with(at, bytes);
        says(Gguf::open(&path), &["model.bin", what]);
    }
}

#[test]
fn hostile_metadata_is_refused() {
    let array = |kind: u32, count: u64, rest: &[u8]| {
        let bytes = [&kind.to_le_bytes()[..], &count.to_le_bytes(), rest].concat();
        Some(Meta::Raw(9, bytes))
    };
    // Arrays within arrays within arrays …
    let mut deep = Vec::new();
    for _ in 0..100_000 {
        deep.extend(9u32.to_le_bytes());
        deep.extend(1u64.to_le_bytes());
    }
    for (value, what) in [
        (
            array(8, u64::MAX, &[]),
            "the number of items of k is 18446744073709551615",
        ),
        (array(0, 1 << 40, &[]), "the number of items of k is 1099511627776"),
        (
            array(8, 1, &u64::MAX.to_le_bytes()),
            "an item of k takes 18446744073709551615 bytes",
        ),
        (array(77, 1, &[]), "k is of type 77"),
        (Some(Meta::Raw(13, vec![])), "k is of type 13"),
        (Some(Meta::Raw(9, deep)), "arrays within arrays"),
    ] {
        let mut file = file(TextModelType::Llama, true);
        file.set("k", value);
        let (_dir, path) = put(&file);
        says(Gguf::open(&path), &["model.bin", what]);
    }
    let mut file = file(TextModelType::Llama, true);
    file.metadata.push(("general.architecture".into(), Meta::from("llama")));
    says(Gguf::open(&put(&file).1), &["comes twice"]);
}

#[test]
fn hostile_tensors_are_refused() {
    let changed = |change: &dyn Fn(&mut Tensor)| {
        let mut file = file(TextModelType::Llama, true);
        change(&mut file.tensors[3]);
        put(&file)
    };
    /// What is done to a tensor, and what is said of it.
    type Case<'a> = (&'a dyn Fn(&mut Tensor), &'a str);
    let cases: [Case<'_>; 9] = [
        (&|t| t.dims = vec![u64::MAX, 2], "beyond the end of the file"),
        (&|t| t.dims = vec![1 << 62, 1 << 62], "beyond the end of the file"),
        (&|t| t.dims = vec![64, 1 << 20], "beyond the end of the file"),
        (&|t| t.dims = vec![0, 64], "impossible dimension"),
        (&|t| t.dims = vec![1; 5], "5 dimensions"),
        (&|t| t.dims = vec![64, 33], "share bytes"),
        (&|t| (t.kind, t.dims) = (8, vec![33, 4]), "no whole blocks of 32"),
        (&|t| t.name = "token_embd.weight".into(), "twice"),
        (&|t| t.name = "a\nb".into(), "is no name"),
    ];
    for (change, what) in cases {
        says(Gguf::open(&changed(change).1), &["model.bin", what]);
    }
    let mut file = file(TextModelType::Llama, true);
    for alignment in [0, 3, 1 << 20] {
        file.set("general.alignment", Some(Meta::U32(alignment)));
        says(Gguf::open(&put(&file).1), &["general.alignment"]);
    }
}

#[test]
fn models_that_cannot_be_run_are_told_by_name() {
    for (key, value, what) in [
        (
            "general.architecture",
            Some(Meta::from("mamba")),
            "\"mamba\": \"llama\"",
        ),
        ("general.architecture", None, "is missing"),
        ("llama.block_count", None, "is missing"),
        ("llama.block_count", Some(Meta::from("two")), "must be a whole number"),
        (
            "llama.attention.head_count_kv",
            Some(Meta::I32s(vec![2, 2])),
            "one value for all layers",
        ),
        (
            "llama.rope.scaling.type",
            Some(Meta::from("yarn")),
            "\"yarn\": only unscaled",
        ),
        ("llama.expert_count", Some(Meta::U32(8)), "is 8: this variant"),
        (
            "llama.rope.dimension_count",
            Some(Meta::U32(8)),
            "is 8: only that of a head",
        ),
        ("split.count", Some(Meta::U32(3)), "one of 3 parts"),
        ("tokenizer.ggml.eos_token_id", None, "is missing"),
        ("llama.attention.key_length", Some(Meta::U32(15)), "head_dim is 15"),
        (
            "llama.context_length",
            Some(Meta::U32(0)),
            "max_position_embeddings is 0",
        ),
    ] {
        let mut file = file(TextModelType::Llama, true);
        file.set("llama.attention.value_length", None);
        file.set(key, value);
        let (_dir, path) = put(&file);
        says(Config::load(&path), &["model.bin", what]);
    }
    let path_of = |name: &str, kind: u32| {
        let mut file = file(TextModelType::Llama, true);
        let last = file.tensors.last().expect("tensors").clone();
        file.tensors.push(Tensor {
            name: name.into(),
            kind,
            ..last
        });
        put(&file)
    };
    let (_dir, path) = path_of("rope_freqs.weight", 0);
    says(Config::load(&path), &["rope_freqs.weight"]);
    let (_dir, path) = path_of("blk.0.ffn_gate_exps.weight", 0);
    says(
        use_all(&path),
        &["blk.0.ffn_gate_exps.weight is not part of the model that its metadata describes"],
    );
    // A type that cannot be read: told when the tensor is wanted.
    let mut file = file(TextModelType::Llama, true);
    file.tensors[0].kind = 13;
    says(
        use_all(&put(&file).1),
        &["model.embed_tokens.weight is stored as Q5_K (type 13)", "can be read"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_does_harm(
        cut in 0.0f64..1.0,
        whole in any::<bool>(),
        flips in prop::collection::vec((0usize..6000, any::<u8>()), 0..6),
        far in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = file(TextModelType::Llama, true).bytes();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        for (at, byte) in far {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let length = if whole { bytes.len() } else { (cut * bytes.len() as f64) as usize };
        let (_dir, path) = put_bytes(&bytes[..length]);
        if let Err(error) = use_all(&path) {
            let error = error.to_string();
            prop_assert!(!error.contains('\n'), "{}", error);
        }
    }
}
