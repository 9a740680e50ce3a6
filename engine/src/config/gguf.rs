//! The configuration of a GGUF file, from its metadata.

use super::{Config, TextConfig, TextModelType};
use crate::gguf::Gguf;
use crate::{Error, Result};

/// Special tokens that end a turn or a text whatever `eos_token_id` says, as in llama.cpp.
const ENDS: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
];

/// ggml's number for special tokens.
const CONTROL: f64 = 3.0;

impl Config {
    /// The configuration of a GGUF file of architecture `llama`, `qwen2` or `qwen3`: a text-only model.
    ///
    /// # Errors
    /// Another architecture; metadata that is missing, of the wrong type, or asks for what the decoder does not do.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let key = "general.architecture";
        let architecture = gguf.text(key)?.ok_or_else(|| gguf.wrong(key, "is missing"))?;
        let model_type = match architecture {
            "qwen3" => TextModelType::Qwen3,
            "qwen2" => TextModelType::Qwen2,
            "llama" => TextModelType::Llama,
            other => {
                let what = format!("is {other:?}: \"llama\", \"qwen2\" and \"qwen3\" can be read");
                return Err(gguf.wrong(key, what));
            }
        };
        refuse_variants(gguf, architecture)?;
        let (bos_token_id, eos_token_id) = ends(gguf)?;
        let text = text(gguf, architecture, model_type)?;
        let config = Self {
            text,
            bos_token_id,
            eos_token_id,
            fold: None,
        };
        config.validate(gguf.place())?;
        Ok(config)
    }
}

fn text(gguf: &Gguf, architecture: &str, model_type: TextModelType) -> Result<TextConfig> {
    let of = |key: &str| format!("{architecture}.{key}");
    let size = |key: &str| {
        let key = of(key);
        gguf.size(&key)?.ok_or_else(|| gguf.wrong(&key, "is missing"))
    };
    let size_or = |key: &str, default: usize| Ok::<_, Error>(gguf.size(&of(key))?.unwrap_or(default));
    let table = gguf.tensors().iter().find(|tensor| tensor.name == "token_embd.weight");
    let vocab_size = table.and_then(|table| table.shape.first().copied()).ok_or_else(|| {
        Error::invalid(
            gguf.place(),
            "has no tensor token_embd.weight: it holds no language model",
        )
    })?;
    let (hidden_size, heads) = (size("embedding_length")?, size("attention.head_count")?);
    let head_dim = size_or("attention.key_length", hidden_size.checked_div(heads).unwrap_or(0))?;
    for (key, found) in [
        ("attention.value_length", size_or("attention.value_length", head_dim)?),
        ("rope.dimension_count", size_or("rope.dimension_count", head_dim)?),
    ] {
        if found != head_dim {
            let what = format!("is {found}: only that of a head, {head_dim}, is supported");
            return Err(gguf.wrong(&of(key), what));
        }
    }
    Ok(TextConfig {
        model_type,
        vocab_size,
        hidden_size,
        intermediate_size: size("feed_forward_length")?,
        num_hidden_layers: size("block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: size_or("attention.head_count_kv", heads)?,
        head_dim,
        max_position_embeddings: size("context_length")?,
        rms_norm_eps: gguf
            .number(&of("attention.layer_norm_rms_epsilon"))?
            .ok_or_else(|| gguf.wrong(&of("attention.layer_norm_rms_epsilon"), "is missing"))?,
        rope_theta: gguf.number(&of("rope.freq_base"))?.unwrap_or(10_000.0),
        tie_word_embeddings: gguf.tensors().iter().all(|tensor| tensor.name != "output.weight"),
    })
}

/// Refuses what would change the computation and that this decoder does not do.
fn refuse_variants(gguf: &Gguf, architecture: &str) -> Result<()> {
    let of = |key: &str| format!("{architecture}.{key}");
    let scaling = of("rope.scaling.type");
    if let Some(kind) = gguf.text(&scaling)?.filter(|kind| *kind != "none") {
        return Err(gguf.wrong(&scaling, format!("asks for {kind:?}: only unscaled RoPE is supported")));
    }
    if gguf
        .tensors()
        .iter()
        .any(|tensor| tensor.name.starts_with("rope_freqs"))
    {
        let what = "scales its rotary frequencies (tensor rope_freqs.weight, as Llama 3.1 does): only unscaled RoPE is supported";
        return Err(Error::invalid(gguf.place(), what));
    }
    for (key, harmless) in [
        ("expert_count", 0.0),
        ("attention.sliding_window", 0.0),
        ("rope.scale_linear", 1.0),
        ("rope.scaling.factor", 1.0),
        ("attention.scale", 0.0),
        ("logit_scale", 0.0),
    ] {
        let key = of(key);
        if let Some(found) = gguf.number(&key)?.filter(|found| *found != harmless) {
            return Err(gguf.wrong(&key, format!("is {found}: this variant is not supported")));
        }
    }
    let parts = "split.count";
    match gguf.size(parts)? {
        Some(n) if n > 1 => Err(gguf.wrong(
            parts,
            format!("says that this is one of {n} parts: merge them into one file"),
        )),
        _ => Ok(()),
    }
}

/// BOS and the tokens that end a text. A model without BOS starts from EOS.
fn ends(gguf: &Gguf) -> Result<(u32, Vec<u32>)> {
    let key = "tokenizer.ggml.eos_token_id";
    let eos = gguf.id(key)?.ok_or_else(|| gguf.wrong(key, "is missing"))?;
    let mut ids = vec![eos];
    for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ids.extend(gguf.id(key)?);
    }
    let tokens = gguf.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let types = gguf.numbers("tokenizer.ggml.token_type")?.unwrap_or_default();
    for (id, (token, kind)) in (0..).zip(tokens.iter().zip(types)) {
        if kind == CONTROL && ENDS.contains(token) {
            ids.push(id);
        }
    }
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(*id));
    Ok((gguf.id("tokenizer.ggml.bos_token_id")?.unwrap_or(eos), ids))
}
