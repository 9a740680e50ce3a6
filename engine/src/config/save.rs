//! Writing `config.json`.

use super::{Config, FoldConfig, PageEncoder, TextConfig, TextModelType};
use serde_json::{Map, Value, json};

impl Config {
    /// The `config.json` of this configuration: [`Config::from_json`] reads it back equal.
    pub fn to_json(&self) -> String {
        let mut root = Map::new();
        match &self.fold {
            None => root.extend(text_keys(&self.text)),
            Some(fold) => {
                root.insert("model_type".into(), json!("vist2"));
                root.insert("text_config".into(), Value::Object(text_keys(&self.text)));
                root.extend(fold_keys(fold));
            }
        }
        root.insert("bos_token_id".into(), json!(self.bos_token_id));
        let eos = match self.eos_token_id.as_slice() {
            [one] => json!(one),
            list => json!(list),
        };
        root.insert("eos_token_id".into(), eos);
        format!("{:#}\n", Value::Object(root))
    }
}

fn text_keys(text: &TextConfig) -> Map<String, Value> {
    let (model_type, architecture) = match text.model_type {
        TextModelType::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        TextModelType::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
        TextModelType::Llama => ("llama", "LlamaForCausalLM"),
    };
    object(json!({
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_hidden_layers,
        "num_attention_heads": text.num_attention_heads,
        "num_key_value_heads": text.num_key_value_heads,
        "head_dim": text.head_dim,
        "max_position_embeddings": text.max_position_embeddings,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "tie_word_embeddings": text.tie_word_embeddings,
        "hidden_act": "silu",
    }))
}

fn fold_keys(fold: &FoldConfig) -> Map<String, Value> {
    let v = &fold.vision;
    let mut keys = object(json!({
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": v.hidden_size,
            "intermediate_size": v.intermediate_size,
            "num_hidden_layers": v.num_hidden_layers,
            "num_attention_heads": v.num_attention_heads,
            "layer_norm_eps": v.layer_norm_eps,
            "num_channels": v.num_channels,
            "patch_height": v.patch_height,
            "patch_width": v.patch_width,
            "image_height": v.image_height,
            "image_width": v.image_width,
            "hidden_act": "gelu_pytorch_tanh",
        },
        "aligner": fold.aligner,
        "page": fold.page,
        "chunk_tokens": fold.chunk_tokens,
        "visual_tokens": fold.visual_tokens,
        "visual_sees_text": fold.visual_sees_text,
        "skip_blank_patches": fold.skip_blank_patches,
    }));
    if fold.reread_tokens > 0 {
        keys.insert("reread_tokens".into(), json!(fold.reread_tokens));
    }
    if fold.page_encoder != PageEncoder::Vision {
        keys.insert("page_encoder".into(), json!(fold.page_encoder.name()));
    }
    keys
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
