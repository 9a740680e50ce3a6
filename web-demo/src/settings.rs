//! How JavaScript says how to write.

use crate::failure::coded;
use folio_engine::session::{ContextMode, Sampling, Settings};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How to write; what is left out is off. */
export interface Settings {
  maxNewTokens: number;
  /** 0 takes the likeliest token. */
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  ignoreEos?: boolean;
  stop?: string[];
  context?: "folded" | "full";
  /** Pages that attention asks for most, read again as text for each chunk; 0 is off. */
  unfold?: number;
}
"#;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    max_new_tokens: usize,
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    seed: Option<u64>,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    stop: Vec<String>,
    #[serde(default)]
    context: ContextMode,
    #[serde(default)]
    unfold: usize,
}

/// Reads a plain object.
///
/// # Errors
/// `bad_argument`: what is wrong with it.
pub(crate) fn from_js<T: DeserializeOwned>(value: &JsValue) -> Result<T, JsValue> {
    let json = js_sys::JSON::stringify(value)
        .ok()
        .and_then(|json| json.as_string())
        .ok_or_else(|| coded("bad_argument", "settings must be a plain object"))?;
    serde_json::from_str(&json).map_err(|e| coded("bad_argument", &format!("settings: {e}")))
}

/// Settings and context mode, checked.
///
/// # Errors
/// `bad_argument`: a value out of range, an unknown key.
pub(crate) fn settings(value: &JsValue) -> Result<(Settings, ContextMode), JsValue> {
    let wish: Wish = from_js(value)?;
    let off = Sampling::default();
    let sampling = Sampling {
        repetition_penalty: wish.repetition_penalty.unwrap_or(off.repetition_penalty),
        temperature: wish.temperature.unwrap_or(off.temperature),
        top_k: wish.top_k.unwrap_or(off.top_k),
        top_p: wish.top_p.unwrap_or(off.top_p),
        min_p: wish.min_p.unwrap_or(off.min_p),
        seed: wish.seed.unwrap_or(off.seed),
    };
    sampling.validate().map_err(|e| coded("bad_argument", &e.to_string()))?;
    let settings = Settings {
        sampling,
        stop: wish.stop.into_iter().filter(|stop| !stop.is_empty()).collect(),
        ignore_eos: wish.ignore_eos,
        max_new_tokens: wish.max_new_tokens,
        unfold: wish.unfold,
    };
    Ok((settings, wish.context))
}
