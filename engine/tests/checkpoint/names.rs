//! Names and shapes of the contract.

use super::tiny;
use folio_engine::checkpoint::{TensorSpec, tensors};
use folio_engine::config::{AlignerConfig, AlignerKind, Config, TextModelType, preset};
use std::collections::BTreeMap;

fn by_name(config: &Config) -> BTreeMap<String, Vec<usize>> {
    tensors(config)
        .into_iter()
        .map(|spec| (spec.name, spec.shape))
        .collect()
}

#[test]
fn names_and_shapes_are_the_contract() {
    let mut config = tiny();
    config.text.tie_word_embeddings = false;
    config.fold.as_mut().expect("fold").aligner.kind = AlignerKind::Tanh;
    let all = by_name(&config);
    for (name, shape) in [
        ("language_model.model.embed_tokens.weight", vec![32, 16]),
        ("language_model.model.layers.1.input_layernorm.weight", vec![16]),
        ("language_model.model.layers.1.self_attn.q_proj.weight", vec![24, 16]),
        ("language_model.model.layers.0.self_attn.k_proj.weight", vec![12, 16]),
        ("language_model.model.layers.0.self_attn.v_proj.weight", vec![12, 16]),
        ("language_model.model.layers.0.self_attn.o_proj.weight", vec![16, 24]),
        ("language_model.model.layers.0.self_attn.q_norm.weight", vec![6]),
        ("language_model.model.layers.0.self_attn.k_norm.weight", vec![6]),
        (
            "language_model.model.layers.0.post_attention_layernorm.weight",
            vec![16],
        ),
        ("language_model.model.layers.0.mlp.gate_proj.weight", vec![24, 16]),
        ("language_model.model.layers.0.mlp.up_proj.weight", vec![24, 16]),
        ("language_model.model.layers.0.mlp.down_proj.weight", vec![16, 24]),
        ("language_model.model.norm.weight", vec![16]),
        ("language_model.lm_head.weight", vec![32, 16]),
        (
            "vision_tower.vision_model.embeddings.patch_embedding.weight",
            vec![12, 1, 16, 160],
        ),
        ("vision_tower.vision_model.embeddings.patch_embedding.bias", vec![12]),
        (
            "vision_tower.vision_model.embeddings.position_embedding.weight",
            vec![32, 12],
        ),
        (
            "vision_tower.vision_model.encoder.layers.0.layer_norm1.weight",
            vec![12],
        ),
        ("vision_tower.vision_model.encoder.layers.0.layer_norm1.bias", vec![12]),
        (
            "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
            vec![12, 12],
        ),
        (
            "vision_tower.vision_model.encoder.layers.0.self_attn.out_proj.bias",
            vec![12],
        ),
        ("vision_tower.vision_model.encoder.layers.0.layer_norm2.bias", vec![12]),
        (
            "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
            vec![20, 12],
        ),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias", vec![20]),
        (
            "vision_tower.vision_model.encoder.layers.0.mlp.fc2.weight",
            vec![12, 20],
        ),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc2.bias", vec![12]),
        ("vision_tower.vision_model.post_layernorm.weight", vec![12]),
        ("vision_tower.vision_model.post_layernorm.bias", vec![12]),
        ("aligner.weight", vec![16, 12]),
        ("aligner.bias", vec![16]),
        ("aligner.scale", vec![1]),
    ] {
        assert_eq!(all.get(name), Some(&shape), "{name}");
    }
    // Decoder: embedding, 11 a layer, norm, head; encoder: 3, 16 a layer, 2; aligner: 3.
    assert_eq!(all.len(), (1 + 2 * 11 + 2) + (3 + 16 + 2) + 3);
}

#[test]
fn variants_change_the_names() {
    let mut config = tiny();
    config.fold.as_mut().expect("fold").aligner = AlignerConfig {
        kind: AlignerKind::Mlp,
        hidden_size: Some(40),
    };
    config.text.model_type = TextModelType::Qwen2;
    let all = by_name(&config);
    assert_eq!(all["aligner.linear_1.weight"], [40, 12]);
    assert_eq!(all["aligner.linear_1.bias"], [40]);
    assert_eq!(all["aligner.linear_2.weight"], [16, 40]);
    assert_eq!(all["aligner.linear_2.bias"], [16]);
    assert_eq!(all["language_model.model.layers.0.self_attn.q_proj.bias"], [24]);
    assert_eq!(all["language_model.model.layers.0.self_attn.k_proj.bias"], [12]);
    assert!(
        !all.keys()
            .any(|name| name.contains("q_norm") || name.contains("k_norm"))
    );
    assert!(!all.contains_key("aligner.weight") && !all.contains_key("aligner.scale"));
    assert!(!all.contains_key("language_model.lm_head.weight"), "tied");

    config.fold = None;
    config.text.tie_word_embeddings = false;
    let all = tensors(&config);
    assert_eq!(all[0].name, "model.embed_tokens.weight");
    assert!(all.iter().any(|spec| spec.name == "lm_head.weight"));
    assert!(
        all.iter()
            .all(|spec| spec.name.starts_with("model.") || spec.name == "lm_head.weight")
    );
}

#[test]
fn parameter_counts_are_those_of_the_published_models() {
    let count = |config: &Config| tensors(config).iter().map(TensorSpec::elements).sum::<usize>();
    let text = |name: &str| Config {
        fold: None,
        ..preset(name).expect("preset")
    };
    assert_eq!(count(&text("smollm2-135m-folded")), 134_515_008);
    assert_eq!(count(&text("vist2-0.6b")), 596_049_920);
    assert_eq!(count(&text("vist2-8b")), 8_190_735_360);
}
