//! A tiny model as llama.cpp's converter would write it, and the values that it must give.

use super::writer::{File, Meta, Tensor};
use folio_engine::checkpoint::{TensorSpec, tensors};
use folio_engine::config::{Config, TextConfig, TextModelType};

/// Special tokens, then one token a byte, then four merges of the string "hello".
pub(crate) const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
pub(crate) const VOCAB: usize = 3 + 256 + 4;
pub(crate) const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                            {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// The configuration that the metadata of [`file`] must give.
pub(crate) fn config(model_type: TextModelType, tied: bool) -> Config {
    Config {
        text: TextConfig {
            model_type,
            vocab_size: VOCAB,
            hidden_size: 64,
            intermediate_size: 96,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 16,
            max_position_embeddings: 512,
            rms_norm_eps: f64::from(1e-5f32),
            rope_theta: 10_000.0,
            tie_word_embeddings: tied,
        },
        bos_token_id: 1,
        eos_token_id: vec![2, 0],
        fold: None,
    }
}

/// The values of a tensor under its Hugging Face name and in Hugging Face's order: a function of name and place.
pub(crate) fn values(spec: &TensorSpec) -> Vec<f32> {
    let seed: u32 = spec
        .name
        .bytes()
        .fold(7, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let base = if spec.shape.len() == 1 && spec.name.contains("norm") {
        1.0
    } else {
        0.0
    };
    (0..spec.elements() as u32)
        .map(|i| base + ((i ^ seed).wrapping_mul(2_654_435_761) >> 20) as f32 / 8192.0 - 0.25)
        .collect()
}

/// What llama.cpp calls a tensor.
pub(crate) fn file_name(name: &str) -> String {
    let mut name = name.to_owned();
    for (from, to) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        name = name.replace(from, to);
    }
    name
}

/// `permute` of llama.cpp's converter: `[heads, 2, half]` rows to `[heads, half, 2]`.
fn permute(values: &[f32], columns: usize, head: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = values.chunks(columns).collect();
    let half = head / 2;
    let mut out = Vec::new();
    for start in (0..rows.len()).step_by(head) {
        for j in 0..half {
            out.extend_from_slice(rows[start + j]);
            out.extend_from_slice(rows[start + half + j]);
        }
    }
    out
}

/// The file of [`config`] with [`values`], all f32.
pub(crate) fn file(model_type: TextModelType, tied: bool) -> File {
    let config = config(model_type, tied);
    let architecture = match model_type {
        TextModelType::Llama => "llama",
        TextModelType::Qwen2 => "qwen2",
        TextModelType::Qwen3 => "qwen3",
    };
    let t = &config.text;
    let mut metadata = vec![("general.architecture".to_owned(), Meta::from(architecture))];
    for (key, value) in [
        ("block_count", t.num_hidden_layers),
        ("context_length", t.max_position_embeddings),
        ("embedding_length", t.hidden_size),
        ("feed_forward_length", t.intermediate_size),
        ("attention.head_count", t.num_attention_heads),
        ("attention.head_count_kv", t.num_key_value_heads),
        ("attention.key_length", t.head_dim),
        ("attention.value_length", t.head_dim),
    ] {
        metadata.push((format!("{architecture}.{key}"), Meta::U32(value as u32)));
    }
    let eps = format!("{architecture}.attention.layer_norm_rms_epsilon");
    metadata.push((eps, Meta::F32(t.rms_norm_eps as f32)));
    tokenizer(&mut metadata);
    let tensors = tensors(&config)
        .iter()
        .map(|spec| {
            let mut v = values(spec);
            let turned = spec.name.contains("q_proj") || spec.name.contains("k_proj");
            if model_type == TextModelType::Llama && turned {
                v = permute(&v, spec.columns(), t.head_dim);
            }
            Tensor {
                name: file_name(&spec.name),
                dims: spec.shape.iter().rev().map(|n| *n as u64).collect(),
                kind: 0,
                data: v.iter().flat_map(|v| v.to_le_bytes()).collect(),
            }
        })
        .collect();
    File {
        version: 3,
        metadata,
        tensors,
    }
}

fn tokenizer(metadata: &mut Vec<(String, Meta)>) {
    // GPT-2's letters for bytes.
    let mut moved = 0x100;
    let letters = (0..=255u8).map(|b| match b {
        33..=126 | 161..=172 | 174..=255 => char::from(b).to_string(),
        _ => {
            moved += 1;
            char::from_u32(moved - 1).expect("a letter").to_string()
        }
    });
    let mut tokens: Vec<String> = SPECIAL.iter().map(|s| (*s).to_owned()).collect();
    tokens.extend(letters);
    tokens.extend(["he", "ll", "hell", "hello"].map(str::to_owned));
    let types = (0..tokens.len()).map(|i| if i < 3 { 3 } else { 1 }).collect();
    let merges = ["h e", "l l", "he ll", "hell o"].map(str::to_owned).to_vec();
    for (key, value) in [
        ("tokenizer.ggml.model", Meta::from("gpt2")),
        ("tokenizer.ggml.pre", Meta::from("smollm")),
        ("tokenizer.ggml.tokens", Meta::Texts(tokens)),
        ("tokenizer.ggml.token_type", Meta::I32s(types)),
        ("tokenizer.ggml.merges", Meta::Texts(merges)),
        ("tokenizer.ggml.bos_token_id", Meta::U32(1)),
        ("tokenizer.ggml.eos_token_id", Meta::U32(2)),
        ("tokenizer.ggml.add_bos_token", Meta::Bool(false)),
        ("tokenizer.chat_template", Meta::from(TEMPLATE)),
    ] {
        metadata.push((key.to_owned(), value));
    }
}
