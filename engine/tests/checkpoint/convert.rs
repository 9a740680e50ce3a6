//! Folders converted to another type: what is quantised, what stays, what is copied, nothing half-written.

use super::{listing, save, says, tiny};
use folio_engine::checkpoint::{
    Checkpoint, Converted, Dtype, StoredType, TensorSpec, convert, init_tensor, tensors, write_stored,
};
use folio_engine::config::Config;
use std::path::Path;
use tempfile::TempDir;

/// `tiny`, wide enough that most matrices are quantised and one (`o_proj`, rows of 24) is not.
fn config() -> Config {
    let mut config = tiny();
    (config.text.hidden_size, config.text.intermediate_size) = (32, 64);
    let vision = &mut config.fold.as_mut().expect("fold").vision;
    (vision.hidden_size, vision.intermediate_size) = (32, 96);
    config.validate("wide").expect("valid");
    config
}

/// A model folder `m` in a new folder.
fn model(dtype: Dtype) -> (TempDir, Config) {
    let (dir, config) = (tempfile::tempdir().expect("folder"), config());
    let m = dir.path().join("m");
    save(&m, &config, dtype);
    let mut json: serde_json::Value = serde_json::from_str(&config.to_json()).expect("JSON");
    (json["a_key_of_theirs"], json["torch_dtype"]) = (7.into(), "bfloat16".into());
    std::fs::write(m.join("config.json"), json.to_string()).expect("write");
    for (name, text) in [
        ("tokenizer.json", "{\"t\": 1}"),
        ("README.md", "card"),
        (".gitattributes", "hidden"),
        ("pytorch_model.bin", "other weights"),
        ("pytorch_model.bin.index.json", "{}"),
    ] {
        std::fs::write(m.join(name), text).expect("write");
    }
    std::fs::create_dir(m.join("folder")).expect("folder");
    (dir, config)
}

fn to(dir: &TempDir, from: &str, to: &str, stored: StoredType) -> Converted {
    convert(&dir.path().join(from), &dir.path().join(to), stored, &mut |_| true)
        .expect("converted")
        .expect("not stopped")
}

fn read(dir: &Path, spec: &TensorSpec) -> Vec<f32> {
    Checkpoint::open(dir).expect("open").read_f32(spec).expect("read")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON")
}

#[test]
fn quantised_folders_hold_what_the_rules_say() {
    let (dir, config) = model(Dtype::F32);
    for (stored, block) in [(StoredType::Q8_0, 34), (StoredType::Q4_0, 18)] {
        let name = stored.name();
        let done = to(&dir, "m", name, stored);
        let out = dir.path().join(name);
        let checkpoint = Checkpoint::open(&out).expect("open");
        let reread = Config::load(&out).expect("config");
        assert_eq!(reread, config);
        checkpoint.check(&reread).expect("check");
        let mut expected = 0;
        for spec in tensors(&config) {
            let kind = checkpoint.stored_type(&spec).expect("type");
            let n = spec.elements();
            let right = match spec.name.as_str() {
                s if s.contains("position_embedding") => (StoredType::F32, 4 * n),
                s if s.contains("o_proj") => (StoredType::F16, 2 * n),
                _ if spec.shape.len() > 1 => (stored, n / 32 * block),
                _ => (StoredType::F32, 4 * n),
            };
            assert_eq!(kind, right.0, "{}", spec.name);
            assert_eq!(
                checkpoint.stored_rows(&spec, 0..spec.rows()).expect("bytes").len(),
                right.1
            );
            expected += right.1;
            // Values: within a step of the block's scale.
            let before = init_tensor(&config, &spec, 1);
            let after = checkpoint.read_f32(&spec).expect("read");
            for (x, y) in before.chunks(32).zip(after.chunks(32)) {
                let largest = x.iter().fold(0.0f32, |l, v| l.max(v.abs()));
                let within = match right.0 {
                    StoredType::F32 => 0.0,
                    StoredType::F16 => largest / 2048.0,
                    StoredType::Q8_0 => largest / 127.0 * 0.57,
                    _ => largest / 8.0 * 1.01,
                };
                assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() <= within), "{}", spec.name);
            }
        }
        assert_eq!(checkpoint.stored_bytes(), expected);
        assert_eq!(
            (done.bytes_after, done.bytes_before),
            (expected as u64, {
                4 * tensors(&config).iter().map(TensorSpec::elements).sum::<usize>() as u64
            })
        );
        assert_eq!(done.tensors.values().sum::<usize>(), tensors(&config).len());
        assert_eq!(done.tensors[&StoredType::F16], 2);
        assert_eq!(
            json(&out.join("config.json"))["quantization_config"]["quant_method"],
            name
        );
        // The library reads the file too, and every tensor lies aligned to its type.
        let bytes = std::fs::read(out.join("model.safetensors")).expect("read");
        let theirs = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
        for (name, view) in theirs.tensors() {
            let at = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            assert_eq!(at % view.dtype().bitsize().div_ceil(8), 0, "{name}");
        }
    }
}

#[test]
fn other_files_come_along_and_other_weights_do_not() {
    let (dir, _) = model(Dtype::F32);
    to(&dir, "m", "q", StoredType::Q8_0);
    let q = dir.path().join("q");
    assert_eq!(
        listing(&q),
        ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    );
    assert_eq!(std::fs::read(q.join("tokenizer.json")).expect("read"), b"{\"t\": 1}");
    assert_eq!(listing(dir.path()), ["m", "q"]);
    let config = json(&q.join("config.json"));
    assert_eq!(
        (&config["a_key_of_theirs"], &config["torch_dtype"]),
        (&7.into(), &"bfloat16".into())
    );
    to(&dir, "q", "half", StoredType::F16);
    let config = json(&dir.path().join("half/config.json"));
    assert_eq!(
        (config.get("quantization_config"), &config["torch_dtype"]),
        (None, &"float16".into())
    );
}

#[test]
fn there_and_back_loses_nothing_more() {
    let (dir, config) = model(Dtype::F16);
    let path = |name: &str| dir.path().join(name);
    to(&dir, "m", "wide", StoredType::F32);
    to(&dir, "wide", "back", StoredType::F16);
    let weights = |name: &str| std::fs::read(path(name).join("model.safetensors")).expect("read");
    assert_eq!(weights("m"), weights("back"));
    for stored in [StoredType::Q8_0, StoredType::Q4_0] {
        let (once, wide, twice) = (stored.name().to_owned(), format!("{stored}-w"), format!("{stored}-2"));
        to(&dir, "m", &once, stored);
        to(&dir, &once, &wide, StoredType::F32);
        to(&dir, &wide, &twice, stored);
        for spec in tensors(&config) {
            let values = read(&path(&once), &spec);
            assert_eq!(values, read(&path(&wide), &spec), "{}", spec.name);
            assert_eq!(values, read(&path(&twice), &spec), "{}", spec.name);
        }
    }
}

#[test]
fn shards_of_mixed_types_are_read_as_one() {
    let (config, dir) = (config(), tempfile::tempdir().expect("folder"));
    let specs = tensors(&config);
    write_stored(dir.path(), &specs, StoredType::Q4_0, 10_000, &mut |spec, to| {
        // In pieces of a row or two.
        let values = init_tensor(&config, spec, 3);
        values
            .chunks((2 * spec.columns()).max(1))
            .try_for_each(|piece| to.push(piece))
    })
    .expect("write");
    assert!(listing(dir.path()).len() > 3, "{:?}", listing(dir.path()));
    let whole = tempfile::tempdir().expect("folder");
    write_stored(whole.path(), &specs, StoredType::Q4_0, u64::MAX, &mut |spec, to| {
        to.push(&init_tensor(&config, spec, 3))
    })
    .expect("write");
    assert_eq!(listing(whole.path()), ["model.safetensors"]);
    for spec in &specs {
        assert_eq!(read(dir.path(), spec), read(whole.path(), spec), "{}", spec.name);
    }
}

#[test]
fn a_stopped_or_failed_conversion_leaves_nothing() {
    let (dir, config) = model(Dtype::F32);
    let (m, deep) = (dir.path().join("m"), dir.path().join("a/b/out"));
    let mut told = Vec::new();
    let all = convert(&m, &deep, StoredType::Q8_0, &mut |share| {
        told.push(share);
        true
    });
    assert!(all.expect("converted").is_some() && deep.join("config.json").exists());
    assert!(
        told.is_sorted() && told[0] > 0.0 && told.last() == Some(&1.0),
        "{told:?}"
    );
    std::fs::remove_dir_all(dir.path().join("a")).expect("remove");
    for stop in 0..told.len() {
        let mut calls = 0;
        let stopped = convert(&m, &deep, StoredType::Q8_0, &mut |_| {
            calls += 1;
            calls <= stop
        });
        assert_eq!(stopped.expect("no error"), None);
        assert_eq!(listing(dir.path()), ["m"]);
    }
    // Values that the scale cannot hold, and damage that is found only while reading.
    for (value, parts) in [
        (1e9, ["aligner.weight holds 1000000000, which q8_0 cannot", "f32"]),
        (f32::NAN, ["aligner.weight holds NaN at value 0", "damaged"]),
    ] {
        let spec = tensors(&config)
            .into_iter()
            .find(|s| s.name == "aligner.weight")
            .expect("there");
        let bytes = std::fs::read(m.join("model.safetensors")).expect("read");
        let at = {
            let view = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
            view.tensor(&spec.name).expect("there").data().as_ptr() as usize - bytes.as_ptr() as usize
        };
        let mut bad = bytes.clone();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(m.join("model.safetensors"), bad).expect("write");
        says(convert(&m, &deep, StoredType::Q8_0, &mut |_| true), &parts);
        assert_eq!(listing(dir.path()), ["m"]);
        std::fs::write(m.join("model.safetensors"), bytes).expect("write");
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let (dir, _) = model(Dtype::F32);
    let (m, out) = (dir.path().join("m"), dir.path().join("out"));
    let go = |to: &Path| convert(&m, to, StoredType::F16, &mut |_| true);
    says(go(&m), &["m: is there already and not empty"]);
    says(go(&m.join("config.json")), &["config.json: is a file"]);
    says(go(&m.join("config.json/x")), &["cannot create"]);
    std::fs::create_dir(&out).expect("folder");
    std::fs::write(out.join("x"), "mine").expect("write");
    says(go(&out), &["out: is there already and not empty"]);
    assert_eq!(listing(&out), ["x"]);
    std::fs::remove_file(out.join("x")).expect("remove");
    assert!(go(&out).expect("an empty folder is no loss").is_some());
    assert_eq!(listing(dir.path()), ["m", "out"]);
    assert_eq!(listing(&out).len(), 4);
    // No model, no folder.
    let new = dir.path().join("new/one");
    says(
        convert(dir.path(), &new, StoredType::F16, &mut |_| true),
        &["config.json"],
    );
    std::fs::remove_file(m.join("model.safetensors")).expect("remove");
    says(go(&new), &["cannot read", "model.safetensors"]);
    assert_eq!(listing(dir.path()), ["m", "out"]);
}

#[test]
fn quantised_pieces_are_whole_blocks() {
    let dir = tempfile::tempdir().expect("folder");
    let spec = TensorSpec {
        name: "w".into(),
        shape: vec![2, 32],
    };
    let push = |pieces: &[usize]| {
        write_stored(
            dir.path(),
            std::slice::from_ref(&spec),
            StoredType::Q8_0,
            1000,
            &mut |_, to| pieces.iter().try_for_each(|n| to.push(&vec![1.0; *n])),
        )
    };
    push(&[32, 0, 32]).expect("whole");
    says(push(&[16, 48]), &["tensor w: 16 values are no whole blocks of 32"]);
    says(push(&[32]), &["tensor w has 32 values for shape [2, 32]"]);
    says(push(&[64, 32]), &["tensor w has 96 values"]);
}
