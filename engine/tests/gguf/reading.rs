//! Tensors and configuration.

use super::models::{config, file, values};
use super::put;
use super::writer::Meta;
use folio_engine::checkpoint::{Checkpoint, StoredType, convert, tensors};
use folio_engine::config::{Config, TextModelType};
use half::{bf16, f16};

#[test]
fn every_architecture_gives_the_values_that_hugging_face_has() {
    for model_type in [TextModelType::Llama, TextModelType::Qwen2, TextModelType::Qwen3] {
        for tied in [false, true] {
            let (_dir, path) = put(&file(model_type, tied));
            let found = Config::load(&path).expect("config");
            assert_eq!(found, config(model_type, tied));
            let checkpoint = Checkpoint::open(&path).expect("open");
            checkpoint.check(&found).expect("check");
            for spec in tensors(&found) {
                let right = values(&spec);
                assert_eq!(checkpoint.read_f32(&spec).expect("read"), right, "{}", spec.name);
                // Any rows, not only all.
                let (rows, columns) = (spec.rows(), spec.columns().max(1));
                let some = checkpoint.read_rows(&spec, 1..rows / 2 + 1).expect("rows");
                assert_eq!(some, right[columns..(rows / 2 + 1) * columns], "{}", spec.name);
            }
        }
    }
}

/// Types by ggml's numbers; blocks whose values are known: all steps alike, scales 0.5 (and minima 0.25).
#[test]
fn every_type_is_read_in_rows_of_any_order() {
    let half = f16::from_f32(0.5).to_le_bytes();
    let quarter = f16::from_f32(0.25).to_le_bytes();
    let block = |head: &[&[u8]], byte: u8, size: usize| {
        let mut block = head.concat();
        block.resize(size, byte);
        block
    };
    let mut q6 = block(&[], 0x55, 128 + 64);
    q6.extend([2; 16]);
    q6.extend(half);
    let mut q4_k = block(&[&half, &quarter], 0, 16);
    // Groups 0 to 3: scale 3, minimum 1; groups 4 to 7: scale 2, minimum 5.
    q4_k[4..8].fill(3);
    q4_k[8..12].fill(1);
    q4_k[12..16].fill(2 | (5 << 4));
    q4_k.resize(144, 0x66);
    for (code, stored, bytes, right) in [
        (1, StoredType::F16, half.to_vec(), vec![0.5]),
        (
            30,
            StoredType::BF16,
            bf16::from_f32(-3.0).to_le_bytes().to_vec(),
            vec![-3.0],
        ),
        (2, StoredType::Q4_0, block(&[&half], 0x99, 18), vec![0.5; 32]),
        (3, StoredType::Q4_1, block(&[&half, &quarter], 0x44, 20), vec![2.25; 32]),
        // The fifth bit of all values is set: 16 + 3 − 16.
        (6, StoredType::Q5_0, block(&[&half, &[255; 4]], 0x33, 22), vec![1.5; 32]),
        (8, StoredType::Q8_0, block(&[&half], 0xfe, 34), vec![-1.0; 32]),
        (12, StoredType::Q4K, q4_k, [[8.75f32; 128], [4.75; 128]].concat()),
        // 5 + 16 − 32 steps of 2 · 0.5.
        (14, StoredType::Q6K, q6, vec![-11.0; 256]),
    ] {
        let mut file = file(TextModelType::Llama, true);
        file.set("llama.embedding_length", Some(Meta::U32(256)));
        file.set("llama.block_count", Some(Meta::U32(1)));
        let found = config(TextModelType::Llama, true);
        let mut found = Config { ..found };
        (found.text.hidden_size, found.text.num_hidden_layers) = (256, 1);
        let specs = tensors(&found);
        let blocks = |n: usize| bytes.repeat(n / right.len());
        file.tensors.retain(|tensor| !tensor.name.starts_with("blk.1."));
        for spec in &specs {
            let at = file
                .tensors
                .iter()
                .position(|t| t.name == super::models::file_name(&spec.name))
                .expect("a tensor");
            let tensor = &mut file.tensors[at];
            tensor.dims = spec.shape.iter().rev().map(|n| *n as u64).collect();
            let whole = spec.is_matrix() && spec.columns().is_multiple_of(right.len());
            tensor.kind = if whole { code } else { 0 };
            tensor.data = if whole {
                blocks(spec.elements())
            } else {
                vec![0; 4 * spec.elements()]
            };
        }
        let (_dir, path) = put(&file);
        let checkpoint = Checkpoint::open(&path).expect("open");
        checkpoint.check(&Config::load(&path).expect("config")).expect("check");
        let spec = specs
            .iter()
            .find(|spec| spec.name.ends_with("0.self_attn.k_proj.weight"))
            .expect("k_proj");
        assert_eq!(checkpoint.stored_type(spec).expect("type"), stored);
        let all = checkpoint.read_f32(spec).expect("read");
        assert!(
            all.chunks(right.len()).all(|values| values == right),
            "{stored}: {:?}",
            &all[..8]
        );
        assert_eq!(all.len(), spec.elements());
    }
}

#[test]
fn a_file_becomes_a_folder() {
    let (dir, path) = put(&file(TextModelType::Llama, true));
    let to = dir.path().join("folder");
    convert(&path, &to, StoredType::F32, &mut |_| true)
        .expect("convert")
        .expect("not stopped");
    let found = Config::load(&to).expect("config");
    assert_eq!(found, Config::load(&path).expect("config"));
    let (a, b) = (Checkpoint::open(&path).expect("a"), Checkpoint::open(&to).expect("b"));
    for spec in tensors(&found) {
        assert_eq!(
            a.read_f32(&spec).expect("a"),
            b.read_f32(&spec).expect("b"),
            "{}",
            spec.name
        );
    }
    let tokenizers = [&path, &to].map(|place| folio_engine::text::Tokenizer::load(place).expect("tokenizer"));
    for tokenizer in &tokenizers {
        assert_eq!(
            tokenizer.encode("hello, 123 world").expect("ids"),
            tokenizers[0].encode("hello, 123 world").expect("ids")
        );
        assert!(!tokenizer.adds_bos());
    }
    let says = |place| {
        let template = folio_engine::text::ChatTemplate::load(place).expect("template");
        template
            .render(&[folio_engine::text::Message::new("user", "Hi")], true)
            .expect("render")
    };
    assert_eq!(says(&path), says(&to));
}
