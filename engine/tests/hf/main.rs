//! The shapes of Qwen3, Qwen2, Llama and SigLIP2 against Hugging Face's transformers: numbers in `tests/fixtures/hf`, made
//! by the script there. Folders are written with transformers' own `config.json` and opened as any folder is.

#![allow(clippy::unwrap_used, clippy::float_cmp)]

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use folio_engine::Wait;
use folio_engine::checkpoint::{Dtype, TensorSpec, tensors, write_shards};
use folio_engine::config::{Config, preset};
use folio_engine::model::{PageLengths, Vist2, load_cpu};
use folio_engine::runner::Want;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/hf/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The formula of `make.py`.
fn values(name: &str, elements: usize) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let one = if name.contains("norm") && name.ends_with("weight") {
        1.0
    } else {
        0.0
    };
    (0..elements as u32)
        .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 20) as f32 / 8192.0 - 0.25 + one)
        .collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect()
}

/// All of `found` within 1e-5 of the largest of `right`.
fn close(found: &[f32], right: &[f32], what: &str) {
    assert_eq!(found.len(), right.len(), "{what}");
    let largest = right.iter().fold(0.0f32, |l, x| l.max(x.abs()));
    let worst = found.iter().zip(right).fold(0.0f32, |w, (a, b)| w.max((a - b).abs()));
    assert!(worst <= 1e-5 * largest, "{what}: off by {worst} of {largest}");
}

#[test]
fn text_models_give_the_logits_of_transformers() {
    for name in ["qwen3", "qwen3-untied", "qwen2", "llama", "llama-untied"] {
        let fixture = fixture(name);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), fixture["config"].to_string()).unwrap();
        let config = Config::load(dir.path()).unwrap();
        let fill = &mut |spec: &TensorSpec| Ok(values(&spec.name, spec.elements()));
        write_shards(dir.path(), &tensors(&config), Dtype::F32, 20_000, fill).unwrap();
        assert!(
            dir.path().join("model.safetensors.index.json").exists(),
            "{name}: several shards"
        );
        let ids: Vec<u32> = fixture["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect();
        let right = numbers(&fixture["logits"]);
        let mut runner = load_cpu(dir.path(), &config, &mut |_| {}).unwrap();
        let all = runner.extend(&ids, Want::All).wait().unwrap();
        close(&all.data, &right, name);
        // And token by token.
        runner.reset();
        for (id, right) in ids.iter().zip(right.chunks(config.text.vocab_size)) {
            close(runner.extend(&[*id], Want::Last).wait().unwrap().last(), right, name);
        }
    }
}

#[test]
fn the_encoder_gives_the_hidden_states_of_transformers() {
    let fixture = fixture("siglip");
    let vision = &fixture["config"];
    let mut config = preset("folio-nano").unwrap();
    let mut root: Value = serde_json::from_str(&config.to_json()).unwrap();
    root["vision_config"] = vision.clone();
    root["visual_tokens"] = 16.into();
    root["chunk_tokens"] = 16.into();
    root["page"]["cell_width"] = 8.into();
    root["page"]["cell_height"] = 8.into();
    root["page"]["font_px"] = 8.into();
    config = Config::from_json(&root.to_string(), "siglip").unwrap();
    let device = Default::default();
    let model = Vist2::<Flex>::build(
        &config,
        &mut |spec| {
            // As transformers 5 names them.
            let name = spec
                .name
                .strip_prefix("vision_tower.vision_model.")
                .unwrap_or(&spec.name);
            Ok(values(name, spec.elements()))
        },
        &device,
    )
    .unwrap();
    // Pixels by channel, row and column; patches in raster order, each by channel, row and column.
    let pixels: Vec<f32> = values("pixels", 3 * 32 * 32).iter().map(|x| x * 4.0).collect();
    let mut patches = Vec::new();
    for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
        for (channel, y) in (0..3).flat_map(|channel| (0..8).map(move |y| (channel, y))) {
            let start = (channel * 32 + row * 8 + y) * 32 + column * 8;
            patches.extend_from_slice(&pixels[start..start + 8]);
        }
    }
    let patches = Tensor::<Flex, 3>::from_data(TensorData::new(patches, [1, 16, 3 * 8 * 8]), &device);
    let lengths = Arc::new(PageLengths {
        slots: 16,
        lengths: vec![16],
    });
    let hidden = model.vision_tower.unwrap().vision_model.forward(patches, &lengths);
    let hidden = hidden.into_data().into_vec::<f32>().unwrap();
    close(&hidden, &numbers(&fixture["hidden"]), "siglip");
}
