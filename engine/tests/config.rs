//! `config.json`: what is read, what is refused, and that what is written is read back equal.

use folio_engine::config::{AlignerConfig, AlignerKind, Config, PRESETS, PageConfig, TextModelType, preset};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A small model with pages of 16 lines of two strips; its numbers are the tests' own, whatever the presets become.
fn small() -> Config {
    let mut config = preset("folio-nano").expect("preset");
    let (text, fold) = (&mut config.text, config.fold.as_mut().expect("fold"));
    (text.vocab_size, text.hidden_size, text.head_dim) = (4096, 256, 64);
    (text.num_attention_heads, text.num_key_value_heads) = (4, 2);
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.num_attention_heads) = (192, 3);
    (
        vision.patch_width,
        vision.image_width,
        vision.patch_height,
        vision.image_height,
    ) = (160, 320, 16, 256);
    fold.page = PageConfig {
        font_px: 14.0,
        cell_width: 8,
        cell_height: 16,
        newline: '¶',
    };
    fold.aligner = AlignerConfig {
        kind: AlignerKind::Linear,
        hidden_size: None,
    };
    (fold.chunk_tokens, fold.visual_tokens) = (128, 32);
    config.validate("small").expect("valid");
    config
}

fn json_of_small() -> Value {
    serde_json::from_str(&small().to_json()).expect("JSON")
}

/// `small` with the value at a JSON pointer replaced (`null` counts as missing).
fn with(pointer: &str, value: Value) -> Value {
    let mut json = json_of_small();
    let (parent, key) = pointer.rsplit_once('/').expect("pointer");
    json.pointer_mut(parent)
        .expect("parent")
        .as_object_mut()
        .expect("object")
        .insert(key.into(), value);
    json
}

fn parse(json: &Value) -> Config {
    Config::from_json(&json.to_string(), "config.json").expect("valid")
}

fn refusal(json: &Value) -> String {
    let error = Config::from_json(&json.to_string(), "x/config.json")
        .expect_err("must be refused")
        .to_string();
    assert!(error.starts_with("x/config.json: "), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

/// A Llama-shaped file with the keys that Hugging Face writes.
fn plain() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false,
        "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 576,
        "initializer_range": 0.04, "intermediate_size": 1536, "max_position_embeddings": 8192, "mlp_bias": false,
        "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
        "rms_norm_eps": 1e-5, "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true,
        "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 49152
    })
}

#[test]
fn every_preset_is_valid_and_survives_its_file() {
    for name in PRESETS {
        let config = preset(name).expect("preset");
        let again = Config::from_json(&config.to_json(), "config.json").unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again, config, "{name}");
        let text_only = Config { fold: None, ..config };
        assert_eq!(
            Config::from_json(&text_only.to_json(), "config.json").expect("text only"),
            text_only,
            "{name}"
        );
    }
}

#[test]
fn load_reads_the_folder() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("config.json");
    let error = Config::load(dir.path()).expect_err("no file").to_string();
    assert!(error.contains("config.json"), "{error}");
    let config = preset("vist2-0.6b").expect("preset");
    std::fs::write(&file, config.to_json()).expect("write");
    assert_eq!(Config::load(dir.path()).expect("load"), config);
    std::fs::write(&file, b"{\"model_type\": \"\xff\"}").expect("write");
    assert!(
        Config::load(dir.path())
            .expect_err("not UTF-8")
            .to_string()
            .contains("is not UTF-8")
    );
    std::fs::write(&file, "{\"model_type\": ").expect("write");
    assert!(
        Config::load(dir.path())
            .expect_err("cut off")
            .to_string()
            .contains("is not valid JSON")
    );
}

#[test]
fn plain_hugging_face_files_open_as_text_only() {
    let config = parse(&plain());
    assert_eq!(config.fold, None);
    assert_eq!(config.text.model_type, TextModelType::Llama);
    assert_eq!((config.text.head_dim, config.text.num_key_value_heads), (64, 3));
    assert_eq!(
        (config.text.rope_theta, config.text.tie_word_embeddings),
        (100_000.0, true)
    );
    assert_eq!((config.bos_token_id, config.eos_token_id), (0, vec![0]));

    let mut json = plain();
    for key in [
        "num_key_value_heads",
        "rope_theta",
        "bos_token_id",
        "tie_word_embeddings",
    ] {
        json.as_object_mut().expect("object").remove(key);
    }
    json["model_type"] = json!("qwen2");
    json["eos_token_id"] = json!([7, 8]);
    let config = parse(&json);
    assert!(config.text.qkv_bias());
    assert_eq!(config.text.num_key_value_heads, 9, "as many as heads");
    assert_eq!(
        (config.text.rope_theta, config.text.tie_word_embeddings),
        (10_000.0, false)
    );
    assert_eq!(
        (config.bos_token_id, config.eos_token_id),
        (7, vec![7, 8]),
        "without BOS, EOS starts a document"
    );
}

#[test]
fn newer_rope_parameters_are_read() {
    let mut json = plain();
    json.as_object_mut().expect("object").remove("rope_theta");
    json["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 5000.0});
    assert_eq!(parse(&json).text.rope_theta, 5000.0);
    json["rope_parameters"] = json!({"rope_type": "yarn", "rope_theta": 5000.0});
    assert!(refusal(&json).contains("rope_parameters asks for yarn"));
}

#[test]
fn variants_that_the_decoder_does_not_compute_are_refused() {
    for (key, value) in [
        ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("rope_scaling", json!({"factor": 2.0})),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
        ("hidden_act", json!("gelu")),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("use_sliding_window", json!(true)),
        ("partial_rotary_factor", json!(0.5)),
        ("model_type", json!("mamba")),
    ] {
        let mut json = plain();
        json[key] = value;
        assert!(refusal(&json).contains(key), "{key}: {}", refusal(&json));
    }
    let mut json = plain();
    json["rope_scaling"] = json!({"rope_type": "default"});
    json["attention_bias"] = Value::Null;
    parse(&json);
    json["model_type"] = json!("qwen2");
    json["attention_bias"] = json!(true);
    assert!(parse(&json).text.qkv_bias(), "Qwen2 has the bias anyway");
}

#[test]
fn contradictions_are_named_with_key_value_and_remedy() {
    for (pointer, value, says) in [
        (
            "/vision_config/patch_width",
            json!(150),
            "patch_width is 150: it must divide image_width, 320",
        ),
        (
            "/vision_config/patch_height",
            json!(48),
            "patch_height is 48: it must divide image_height, 256",
        ),
        (
            "/page/cell_width",
            json!(7),
            "page.cell_width is 7: it must divide vision_config.patch_width, 160",
        ),
        (
            "/page/cell_height",
            json!(32),
            "page.cell_height is 32: it must divide vision_config.patch_height, 16",
        ),
        (
            "/visual_tokens",
            json!(31),
            "visual_tokens is 31: it must be the page's patch count, 2 × 16 = 32",
        ),
        (
            "/chunk_tokens",
            json!(31),
            "chunk_tokens is 31: it must be at least visual_tokens, 32",
        ),
        (
            "/text_config/num_key_value_heads",
            json!(3),
            "num_key_value_heads is 3: it must divide num_attention_heads, 4",
        ),
        ("/text_config/head_dim", json!(63), "head_dim is 63: it must be even"),
        (
            "/text_config/rms_norm_eps",
            json!(-1e-6),
            "text_config.rms_norm_eps is -0.000001",
        ),
        ("/text_config/rope_theta", json!(0), "rope_theta is 0"),
        (
            "/vision_config/layer_norm_eps",
            json!(-1),
            "vision_config.layer_norm_eps is -1",
        ),
        (
            "/vision_config/num_attention_heads",
            json!(5),
            "num_attention_heads is 5: it must divide hidden_size, 192",
        ),
        (
            "/vision_config/hidden_act",
            json!("gelu"),
            "hidden_act is \"gelu\": it must be \"gelu_pytorch_tanh\"",
        ),
        (
            "/vision_config/hidden_size",
            json!(0),
            "vision_config.hidden_size is 0: it must be from 1 to",
        ),
        (
            "/text_config/vocab_size",
            json!(u64::MAX),
            "vocab_size is 18446744073709551615: it must be from 1 to",
        ),
        (
            "/text_config/num_hidden_layers",
            json!(1_000_000),
            "num_hidden_layers is 1000000: it must be from 1 to",
        ),
        (
            "/text_config/hidden_size",
            json!(-4),
            "text_config.hidden_size is -4: it must be a whole number",
        ),
        (
            "/text_config/hidden_size",
            json!("256"),
            "text_config.hidden_size is \"256\": it must be a whole number",
        ),
        (
            "/text_config/hidden_size",
            Value::Null,
            "text_config.hidden_size is missing",
        ),
        (
            "/text_config/model_type",
            json!("vist2"),
            "text_config.model_type is \"vist2\"",
        ),
        ("/vision_config", Value::Null, "vision_config is missing"),
        ("/aligner", json!({"kind": "mlp"}), "aligner.hidden_size is missing"),
        ("/aligner", json!({"kind": "cubic"}), "aligner.kind is \"cubic\""),
        (
            "/aligner",
            json!({"kind": "mlp", "hiden_size": 3}),
            "aligner.hiden_size is not known here",
        ),
        (
            "/aligner",
            json!({"kind": "mlp", "hidden_size": 0}),
            "aligner.hidden_size is 0",
        ),
        (
            "/page/newline",
            json!("<br>"),
            "page.newline is \"<br>\": it must be one character",
        ),
        ("/page/newline", json!("\n"), "page.newline"),
        ("/page/font_px", json!(0), "page.font_px is 0"),
        (
            "/page/font_px",
            json!(17),
            "page.font_px is 17: it must be above 0 and at most cell_height, 16",
        ),
        ("/page/margin", json!(2), "page.margin is not known here"),
        (
            "/bos_token_id",
            json!(4096),
            "bos_token_id is 4096: it must be below vocab_size, 4096",
        ),
        (
            "/eos_token_id",
            json!([1, 9999]),
            "eos_token_id is 9999: it must be below vocab_size, 4096",
        ),
        ("/eos_token_id", json!([]), "eos_token_id"),
        (
            "/eos_token_id",
            json!([1, "two"]),
            "eos_token_id is [1,\"two\"]: it must be a token id or a list",
        ),
        (
            "/bos_token_id",
            json!([1, 2]),
            "bos_token_id is [1,2]: it must be one token id",
        ),
        (
            "/visual_sees_text",
            json!(1),
            "visual_sees_text is 1: it must be true or false",
        ),
        (
            "/reread_tokens",
            json!(129),
            "reread_tokens is 129: it must be at most chunk_tokens, 128",
        ),
        (
            "/reread_tokens",
            json!(-1),
            "reread_tokens is -1: it must be a whole number",
        ),
    ] {
        let error = refusal(&with(pointer, value));
        assert!(error.contains(says), "{pointer}: {error:?} does not say {says:?}");
    }
}

#[test]
fn numbers_that_json_cannot_hold_are_refused_too() {
    for value in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let mut config = small();
        config.text.rms_norm_eps = value;
        assert!(config.validate("c").is_err(), "{value}");
        let mut config = small();
        config.text.rope_theta = value;
        assert!(config.validate("c").is_err(), "{value}");
        let mut config = small();
        config.fold.as_mut().expect("fold").page.font_px = value as f32;
        assert!(config.validate("c").is_err(), "{value}");
    }
}

#[test]
fn squares_may_be_written_as_siglip_writes_them() {
    let right = preset("vist2-0.6b").expect("preset");
    let mut json: Value = serde_json::from_str(&right.to_json()).expect("JSON");
    let vision = json["vision_config"].as_object_mut().expect("object");
    for key in [
        "patch_height",
        "patch_width",
        "image_height",
        "image_width",
        "num_channels",
        "layer_norm_eps",
    ] {
        vision.remove(key);
    }
    vision.insert("patch_size".into(), json!(16));
    vision.insert("image_size".into(), json!(256));
    vision.insert("attention_dropout".into(), json!(0.0));
    json["transformers_version"] = json!("4.57.0");
    assert_eq!(parse(&json), right);
}

#[test]
fn ids_may_stand_in_text_config() {
    let mut json = json_of_small();
    for key in ["bos_token_id", "eos_token_id"] {
        let id = json.as_object_mut().expect("object").remove(key).expect("id");
        json["text_config"][key] = id;
    }
    assert_eq!(parse(&json), small());
}

/// JSON pointers of all values below the root.
fn pointers(value: &Value, here: &str, out: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, inner) in map {
            let pointer = format!("{here}/{key}");
            pointers(inner, &pointer, out);
            out.push(pointer);
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!([]),
            json!({}),
            json!(true),
            json!("tanh"),
            json!("\u{0}")
        ]),
        any::<u64>().prop_map(|n| json!(n)),
        any::<i64>().prop_map(|n| json!(n)),
        // Short decimals: serde_json reads the longest ones with an error in the last bit.
        (-2000i32..2000).prop_map(|n| json!(f64::from(n) / 16.0)),
        prop::sample::select(vec![f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0]).prop_map(|n| json!(n)),
        (0u64..600).prop_map(|n| json!(n)),
    ]
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::from_json(&String::from_utf8_lossy(&bytes), "c");
    }

    #[test]
    fn mutated_files_never_panic_and_errors_are_one_line(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4),
    ) {
        let mut text: Vec<char> = json_of_small().to_string().chars().collect();
        for (at, ch) in edits {
            let at = at.index(text.len());
            text[at] = ch;
        }
        let text: String = text.into_iter().collect();
        match Config::from_json(&text, "c") {
            Ok(config) => prop_assert!(config.validate("c").is_ok()),
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }

    /// Any value in any place: never a panic, and what is accepted is written and read back.
    #[test]
    fn any_value_anywhere(at in any::<prop::sample::Index>(), value in any_value()) {
        let mut all = Vec::new();
        pointers(&json_of_small(), "", &mut all);
        let json = with(&all[at.index(all.len())], value);
        if let Ok(config) = Config::from_json(&json.to_string(), "c") {
            let again = Config::from_json(&config.to_json(), "c").expect("what we write we read");
            prop_assert_eq!(again.to_json(), config.to_json());
        }
    }
}
