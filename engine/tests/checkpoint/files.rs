//! One file: written, read back, checked against a configuration.

use super::{hand_made, listing, save, says, tiny};
use folio_engine::Error;
use folio_engine::checkpoint::{Checkpoint, Dtype, TensorSpec, init_tensor, tensors, write_shards};
use std::path::Path;

#[test]
fn f32_files_are_read_back_bit_for_bit() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    let target = dir.path().join("new").join("model");
    save(&target, &config, Dtype::F32);
    assert_eq!(listing(&target), ["model.safetensors"]);
    let checkpoint = Checkpoint::open(&target).expect("open");
    checkpoint.check(&config).expect("check");
    for spec in tensors(&config) {
        assert_eq!(
            checkpoint.read_f32(&spec).expect("read"),
            init_tensor(&config, &spec, 1),
            "{}",
            spec.name
        );
    }
    let bytes = std::fs::read(target.join("model.safetensors")).expect("read");
    save(&target, &config, Dtype::F32);
    assert_eq!(
        std::fs::read(target.join("model.safetensors")).expect("read"),
        bytes,
        "same model, same bytes"
    );
    let theirs = safetensors::SafeTensors::deserialize(&bytes).expect("the library reads it too");
    assert_eq!(theirs.len(), tensors(&config).len());
}

#[test]
fn a_scalar_may_come_without_dimensions() {
    // As PyTorch saves `nn.Parameter(torch.tensor(0.02))`.
    let bytes = hand_made(
        r#"{"aligner.scale":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#,
        4,
    );
    let checkpoint = Checkpoint::from_bytes(bytes, "scalar").expect("open");
    let spec = |shape: &[usize]| TensorSpec {
        name: "aligner.scale".to_owned(),
        shape: shape.to_vec(),
    };
    assert_eq!(checkpoint.read_f32(&spec(&[1])).expect("read"), [0.0]);
    assert!(checkpoint.read_f32(&spec(&[2])).is_err());
}

#[test]
fn half_files_round_to_nearest() {
    let config = tiny();
    for (dtype, within) in [(Dtype::F16, 1.0 / 2048.0), (Dtype::Bf16, 1.0 / 256.0)] {
        let dir = tempfile::tempdir().expect("folder");
        save(dir.path(), &config, dtype);
        let checkpoint = Checkpoint::open(dir.path()).expect("open");
        for spec in tensors(&config) {
            let found = checkpoint.read_f32(&spec).expect("read");
            for (found, right) in found.iter().zip(init_tensor(&config, &spec, 1)) {
                // Below 2⁻¹⁴ f16 has a fixed step of 2⁻²⁴.
                assert!(
                    (found - right).abs() <= right.abs() * within + 3e-8,
                    "{}: {found} for {right}",
                    spec.name
                );
            }
        }
        assert_eq!(
            checkpoint.stored_bytes(),
            2 * tensors(&config).iter().map(TensorSpec::elements).sum::<usize>()
        );
    }
}

#[test]
fn what_config_does_not_call_for_is_refused() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    save(dir.path(), &config, Dtype::F32);
    let checkpoint = Checkpoint::open(dir.path()).expect("open");
    let mut other = config.clone();
    other.text.num_hidden_layers = 3;
    says(
        checkpoint.check(&other),
        &["model.safetensors", "model.layers.2.input_layernorm.weight is missing"],
    );
    other.text.num_hidden_layers = 1;
    says(
        checkpoint.check(&other),
        &["language_model.model.layers.1.", "is not part of the model"],
    );
    other = config.clone();
    other.text.intermediate_size = 25;
    says(
        checkpoint.check(&other),
        &["gate_proj.weight has shape [24, 16]", "calls for [25, 16]"],
    );
    let wrong = TensorSpec {
        name: "aligner.weight".into(),
        shape: vec![12, 16],
    };
    says(checkpoint.read_f32(&wrong), &["aligner.weight has shape [16, 12]"]);
}

#[test]
fn a_tied_model_may_carry_its_head() {
    let (mut config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    for text_only in [false, true] {
        if text_only {
            config.fold = None;
        }
        config.text.tie_word_embeddings = false;
        save(dir.path(), &config, Dtype::F32);
        Checkpoint::open(dir.path())
            .expect("open")
            .check(&config)
            .expect("untied");
        config.text.tie_word_embeddings = true;
        Checkpoint::open(dir.path())
            .expect("open")
            .check(&config)
            .expect("the redundant head is let pass");
        save(dir.path(), &config, Dtype::F32);
        config.text.tie_word_embeddings = false;
        says(
            Checkpoint::open(dir.path()).expect("open").check(&config),
            &["lm_head.weight is missing"],
        );
    }
}

#[test]
fn unaligned_data_and_odd_types() {
    let header = concat!(
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#,
        r#""b":{"dtype":"I8","shape":[2],"data_offsets":[8,10]}}  "#
    );
    assert_ne!(header.len() % 4, 0, "the data must lie unaligned");
    let mut bytes = hand_made(header, 10);
    let at = 8 + header.len();
    bytes[at..at + 4].copy_from_slice(&1.5f32.to_le_bytes());
    let checkpoint = Checkpoint::from_bytes(bytes, "h").expect("open");
    let spec = |name: &str| TensorSpec {
        name: name.into(),
        shape: vec![2],
    };
    assert_eq!(checkpoint.read_f32(&spec("a")).expect("read"), [1.5, 0.0]);
    says(
        checkpoint.read_f32(&spec("b")),
        &["tensor b is stored as I8: only F32, F16 and BF16"],
    );
    assert_eq!(checkpoint.names(), ["a", "b"]);
}

#[test]
fn values_that_are_not_finite_are_found_in_every_type() {
    let spec = TensorSpec {
        name: "w".into(),
        shape: vec![3, 4000],
    };
    for (dtype, bad, shown) in [
        ("F32", &f32::NAN.to_le_bytes()[..], "NaN"),
        ("F32", &f32::NEG_INFINITY.to_le_bytes(), "-inf"),
        ("F16", &[0, 0x7e], "NaN"),
        ("F16", &[0, 0x7c], "inf"),
        ("BF16", &[0xc0, 0x7f], "NaN"),
    ] {
        let size = bad.len();
        let header = format!(
            r#"{{"w":{{"dtype":"{dtype}","shape":[3,4000],"data_offsets":[0,{}]}}}}"#,
            12_000 * size
        );
        for place in [0, 4095, 4096, 11_999] {
            let mut bytes = hand_made(&header, 12_000 * size);
            let at = 8 + header.len() + place * size;
            bytes[at..at + size].copy_from_slice(bad);
            let says_where = format!("tensor w holds {shown} at value {place}:");
            says(
                Checkpoint::from_bytes(bytes, "h").expect("open").read_f32(&spec),
                &[&says_where],
            );
        }
    }
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let (config, dir) = (tiny(), tempfile::tempdir().expect("folder"));
    let specs = tensors(&config);
    let fail = |dir: &Path, bad: &dyn Fn(&TensorSpec) -> Result<Vec<f32>, Error>, dtype: Dtype| {
        write_shards(dir, &specs, dtype, 20_000, &mut |spec| {
            if spec.name == "aligner.weight" {
                bad(spec)
            } else {
                Ok(init_tensor(&config, spec, 1))
            }
        })
    };
    let new = dir.path().join("new");
    says(
        fail(&new, &|_| Err(Error::Argument("no values".into())), Dtype::F32),
        &["no values"],
    );
    assert!(!new.exists());

    save(dir.path(), &config, Dtype::F32);
    let before = std::fs::read(dir.path().join("model.safetensors")).expect("read");
    says(
        fail(dir.path(), &|_| Ok(vec![0.0; 3]), Dtype::F32),
        &["aligner.weight has 3 values for shape [16, 12]"],
    );
    says(
        fail(dir.path(), &|s| Ok(vec![f32::NAN; s.elements()]), Dtype::F32),
        &["aligner.weight holds NaN"],
    );
    says(
        fail(dir.path(), &|s| Ok(vec![70_000.0; s.elements()]), Dtype::F16),
        &["aligner.weight holds 70000", "f16"],
    );
    assert_eq!(listing(dir.path()), ["model.safetensors"]);
    assert_eq!(
        std::fs::read(dir.path().join("model.safetensors")).expect("read"),
        before
    );
    let file = dir.path().join("model.safetensors").join("below");
    says(
        fail(&file, &|s| Ok(vec![0.0; s.elements()]), Dtype::F32),
        &["cannot create"],
    );
}
