//! Reading `config.json`: ours (`model_type` "vist2") and the plain Hugging Face ones of text-only models.

use super::keys::Keys;
use super::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, PageEncoder, TextConfig, TextModelType, VisionConfig,
};
use crate::gguf::{Gguf, is_gguf};
use crate::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// A `config.json` larger than this is not one.
const MAX_BYTES: u64 = 16 << 20;

impl Config {
    /// Reads and checks `dir/config.json`; of a GGUF file, its metadata.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, lacks a key, or contradicts itself.
    pub fn load(dir: &Path) -> Result<Self> {
        if is_gguf(dir) {
            return Self::from_gguf(&Gguf::open(dir)?);
        }
        let path = dir.join("config.json");
        let size = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
        let place = path.display().to_string();
        if size > MAX_BYTES {
            return Err(Error::invalid(
                place,
                format!("is {size} bytes: a config.json is never that long"),
            ));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let json = std::str::from_utf8(&bytes)
            .map_err(|e| Error::invalid(&place, format!("is not UTF-8 (byte {})", e.valid_up_to())))?;
        Self::from_json(json, &place)
    }

    /// Parses and checks the content of a `config.json`; `place` names it in errors.
    ///
    /// A plain `qwen3`, `qwen2` or `llama` file gives a text-only model (`fold` is `None`). Keys that we do not know
    /// are let pass as Hugging Face's own, except in `aligner` and `page`, which are ours.
    ///
    /// # Errors
    /// Not JSON, a missing key, a value of the wrong type, or a configuration that contradicts itself.
    pub fn from_json(json: &str, place: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(json).map_err(|e| Error::invalid(place, format!("is not valid JSON: {e}")))?;
        let root = Keys::root(&value, place)?;
        let folds = match root.text("model_type")? {
            Some("vist2") => true,
            Some("qwen3" | "qwen2" | "llama") => false,
            _ => {
                let found = root.get("model_type");
                return Err(root.wrong("model_type", found, "\"vist2\", \"qwen3\", \"qwen2\" or \"llama\""));
            }
        };
        let config = if folds {
            let text = root.object("text_config")?;
            let (bos_token_id, eos_token_id) = ends(&root, Some(&text))?;
            Self {
                text: text_config(&text)?,
                bos_token_id,
                eos_token_id,
                fold: Some(fold_config(&root)?),
            }
        } else {
            let (bos_token_id, eos_token_id) = ends(&root, None)?;
            Self {
                text: text_config(&root)?,
                bos_token_id,
                eos_token_id,
                fold: None,
            }
        };
        config.validate(place)?;
        Ok(config)
    }
}

/// The BOS id and the EOS ids, from the top level or else from `text_config`. A model without BOS starts from EOS, as
/// Qwen's do.
fn ends(root: &Keys<'_>, text: Option<&Keys<'_>>) -> Result<(u32, Vec<u32>)> {
    let find = |key: &str| match (root.ids(key)?, text) {
        (None, Some(text)) => text.ids(key),
        (found, _) => Ok(found),
    };
    let eos = find("eos_token_id")?
        .filter(|ids| !ids.is_empty())
        .ok_or_else(|| root.wrong("eos_token_id", None, "a token id or a list of token ids"))?;
    match find("bos_token_id")?.as_deref() {
        None => Ok((eos[0], eos)),
        Some([bos]) => Ok((*bos, eos)),
        Some(_) => Err(root.wrong("bos_token_id", root.get("bos_token_id"), "one token id")),
    }
}

fn text_config(keys: &Keys<'_>) -> Result<TextConfig> {
    let model_type = match keys.text("model_type")? {
        Some("qwen3") => TextModelType::Qwen3,
        Some("qwen2") => TextModelType::Qwen2,
        Some("llama") => TextModelType::Llama,
        _ => {
            return Err(keys.wrong(
                "model_type",
                keys.get("model_type"),
                "\"qwen3\", \"qwen2\" or \"llama\"",
            ));
        }
    };
    refuse_variants(keys, model_type)?;
    let hidden_size = keys.size("hidden_size")?;
    let num_attention_heads = keys.size("num_attention_heads")?;
    if keys.get("head_dim").is_none() && (num_attention_heads == 0 || !hidden_size.is_multiple_of(num_attention_heads))
    {
        let what =
            format!("is missing, and hidden_size {hidden_size} is no multiple of the {num_attention_heads} heads");
        return Err(keys.error("head_dim", what));
    }
    let positions = if model_type == TextModelType::Llama {
        2048
    } else {
        32_768
    };
    Ok(TextConfig {
        model_type,
        vocab_size: keys.size("vocab_size")?,
        hidden_size,
        intermediate_size: keys.size("intermediate_size")?,
        num_hidden_layers: keys.size("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads: keys.size_or("num_key_value_heads", num_attention_heads)?,
        head_dim: keys.size_or("head_dim", hidden_size.checked_div(num_attention_heads).unwrap_or(0))?,
        max_position_embeddings: keys.size_or("max_position_embeddings", positions)?,
        rms_norm_eps: keys.number_or("rms_norm_eps", 1e-6)?,
        rope_theta: rope_theta(keys)?,
        tie_word_embeddings: keys.flag_or("tie_word_embeddings", false)?,
    })
}

/// The rotary base, from `rope_theta` or from the newer `rope_parameters`; any scaling of positions is refused.
fn rope_theta(keys: &Keys<'_>) -> Result<f64> {
    let mut default = 10_000.0;
    for key in ["rope_scaling", "rope_parameters"] {
        if keys.get(key).is_none() {
            continue;
        }
        let rope = keys.object(key)?;
        let kind = if rope.get("rope_type").is_some() {
            rope.text("rope_type")?
        } else {
            rope.text("type")?
        };
        if kind.is_some_and(|kind| kind != "default") || (kind.is_none() && key == "rope_scaling") {
            let kind = kind.unwrap_or("an unnamed kind");
            return Err(keys.error(key, format!("asks for {kind}: only unscaled RoPE (null) is supported")));
        }
        default = rope.number_or("rope_theta", default)?;
    }
    keys.number_or("rope_theta", default)
}

/// Refuses what would change the computation and that this decoder does not do.
fn refuse_variants(keys: &Keys<'_>, model_type: TextModelType) -> Result<()> {
    let act = keys.text("hidden_act")?;
    if act.is_some_and(|act| act != "silu") {
        return Err(keys.wrong("hidden_act", keys.get("hidden_act"), "\"silu\""));
    }
    let off: &[&str] = match model_type {
        TextModelType::Qwen2 => &["use_sliding_window", "mlp_bias", "rope_interleaved"],
        _ => &["use_sliding_window", "mlp_bias", "attention_bias", "rope_interleaved"],
    };
    for key in off {
        if keys.flag_or(key, false)? {
            return Err(keys.error(key, "is true: this variant is not supported, only false"));
        }
    }
    if keys.number_or("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(keys.wrong("partial_rotary_factor", keys.get("partial_rotary_factor"), "1"));
    }
    Ok(())
}

fn fold_config(root: &Keys<'_>) -> Result<FoldConfig> {
    Ok(FoldConfig {
        vision: vision_config(&root.object("vision_config")?)?,
        aligner: aligner_config(&root.object("aligner")?)?,
        page: page_config(&root.object("page")?)?,
        chunk_tokens: root.size("chunk_tokens")?,
        visual_tokens: root.size("visual_tokens")?,
        visual_sees_text: root.flag_or("visual_sees_text", false)?,
        reread_tokens: root.size_or("reread_tokens", 0)?,
        skip_blank_patches: root.flag_or("skip_blank_patches", false)?,
        page_encoder: page_encoder(root)?,
    })
}

fn page_encoder(root: &Keys<'_>) -> Result<PageEncoder> {
    match root.text("page_encoder")? {
        None | Some("vision") => Ok(PageEncoder::Vision),
        Some("mean_pool") => Ok(PageEncoder::MeanPool),
        Some("conv_pyramid") => Ok(PageEncoder::ConvPyramid),
        _ => Err(root.wrong(
            "page_encoder",
            root.get("page_encoder"),
            "\"vision\", \"mean_pool\" or \"conv_pyramid\"",
        )),
    }
}

fn vision_config(keys: &Keys<'_>) -> Result<VisionConfig> {
    let act = keys.text("hidden_act")?;
    if act.is_some_and(|act| act != "gelu_pytorch_tanh") {
        return Err(keys.wrong("hidden_act", keys.get("hidden_act"), "\"gelu_pytorch_tanh\""));
    }
    // SigLIP's own files give one size for both sides of a square.
    let side = |key: &str, square: &str| match keys.get(key) {
        None if keys.get(square).is_some() => keys.size(square),
        _ => keys.size(key),
    };
    Ok(VisionConfig {
        hidden_size: keys.size("hidden_size")?,
        intermediate_size: keys.size("intermediate_size")?,
        num_hidden_layers: keys.size("num_hidden_layers")?,
        num_attention_heads: keys.size("num_attention_heads")?,
        layer_norm_eps: keys.number_or("layer_norm_eps", 1e-6)?,
        num_channels: keys.size_or("num_channels", 3)?,
        patch_height: side("patch_height", "patch_size")?,
        patch_width: side("patch_width", "patch_size")?,
        image_height: side("image_height", "image_size")?,
        image_width: side("image_width", "image_size")?,
    })
}

fn aligner_config(keys: &Keys<'_>) -> Result<AlignerConfig> {
    keys.only(&["kind", "hidden_size"])?;
    let kind = match keys.text("kind")? {
        Some("tanh") => AlignerKind::Tanh,
        Some("linear") => AlignerKind::Linear,
        Some("mlp") => AlignerKind::Mlp,
        _ => return Err(keys.wrong("kind", keys.get("kind"), "\"tanh\", \"linear\" or \"mlp\"")),
    };
    let hidden_size = keys.get("hidden_size").map(|_| keys.size("hidden_size")).transpose()?;
    Ok(AlignerConfig { kind, hidden_size })
}

fn page_config(keys: &Keys<'_>) -> Result<PageConfig> {
    keys.only(&["font_px", "cell_width", "cell_height", "newline"])?;
    let mut newline = keys.text("newline")?.unwrap_or_default().chars();
    let newline = match (newline.next(), newline.next()) {
        (Some(mark), None) => mark,
        _ => return Err(keys.wrong("newline", keys.get("newline"), "one character")),
    };
    Ok(PageConfig {
        font_px: keys.number("font_px")? as f32,
        cell_width: keys.size("cell_width")?,
        cell_height: keys.size("cell_height")?,
        newline,
    })
}
