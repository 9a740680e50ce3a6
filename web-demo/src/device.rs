//! What the browser's GPU is.

use crate::events::to_js;
use crate::failure::{coded, engine};
use folio_engine::gpu::{AdapterReport, GpuOptions, WgpuMachine};
use js_sys::WebAssembly::Memory;
use js_sys::{ArrayBuffer, Function, Promise, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The adapter that a model would run on.
///
/// # Errors
/// `no_webgpu`, `below_floor`.
#[wasm_bindgen]
pub async fn adapter() -> Result<JsValue, JsValue> {
    has_webgpu()?;
    let machine = open(GpuOptions {
        allow_software: true,
        ..GpuOptions::default()
    });
    Ok(to_js(&report(machine.await?.report())))
}

/// A machine on the browser's best adapter.
///
/// # Errors
/// `no_webgpu`, `below_floor`.
pub(crate) async fn open(options: GpuOptions) -> Result<WgpuMachine, JsValue> {
    let (name, software) = adapter_info().await?;
    if software && !options.allow_software {
        let what = format!(
            "the only WebGPU adapter ({name}) is a CPU in disguise: see that hardware acceleration is switched on"
        );
        return Err(coded("no_webgpu", &what));
    }
    let options = GpuOptions {
        told: Some((name, software)),
        ..options
    };
    WgpuMachine::open(options).await.map_err(engine)
}

/// Name of the adapter, and whether it is a CPU: asked of the browser itself, as wgpu passes on neither.
async fn adapter_info() -> Result<(String, bool), JsValue> {
    let get = |from: &JsValue, key: &str| Reflect::get(from, &key.into()).unwrap_or(JsValue::UNDEFINED);
    let gpu = webgpu().ok_or_else(no_webgpu)?;
    let wish = js_sys::Object::new();
    Reflect::set(&wish, &"powerPreference".into(), &"high-performance".into())?;
    let request: Function = get(&gpu, "requestAdapter").dyn_into().map_err(|_| no_webgpu())?;
    let adapter = JsFuture::from(Promise::from(request.call1(&gpu, &wish)?)).await?;
    let info = get(&adapter, "info");
    let text = |key: &str| get(&info, key).as_string().unwrap_or_default();
    let words: Vec<String> = [
        text("vendor"),
        text("architecture"),
        text("device"),
        text("description"),
    ]
    .into_iter()
    .filter(|word| !word.is_empty())
    .collect();
    let software = get(&info, "isFallbackAdapter").is_truthy()
        || words
            .iter()
            .any(|word| ["swiftshader", "llvmpipe", "lavapipe", "warp"].contains(&word.to_lowercase().as_str()));
    let name = if words.is_empty() {
        "unnamed".to_owned()
    } else {
        words.join(" ")
    };
    Ok((name, software))
}

/// Bytes of the WebAssembly memory.
#[wasm_bindgen(js_name = wasmBytes)]
pub fn wasm_bytes() -> f64 {
    let memory: Memory = wasm_bindgen::memory().unchecked_into();
    f64::from(memory.buffer().unchecked_into::<ArrayBuffer>().byte_length())
}

pub(crate) fn report(report: &AdapterReport) -> Value {
    json!({
        "name": report.name,
        "backend": report.backend,
        "software": report.software,
        "subgroups": report.subgroups,
        "bindingBytes": report.binding_bytes,
        "lacks": report.lacks,
    })
}

/// Whether the browser has WebGPU at all: asking wgpu would panic or mislead where it has not.
pub(crate) fn has_webgpu() -> Result<(), JsValue> {
    webgpu().map(drop).ok_or_else(no_webgpu)
}

/// `navigator.gpu`.
fn webgpu() -> Option<JsValue> {
    let global = js_sys::global();
    let navigator = Reflect::get(&global, &"navigator".into()).ok()?;
    let gpu = Reflect::get(&navigator, &"gpu".into()).ok()?;
    gpu.is_object().then_some(gpu)
}

fn no_webgpu() -> JsValue {
    coded(
        "no_webgpu",
        "this browser has no WebGPU: use a current Chrome, Edge, Safari or Firefox, over https or from localhost",
    )
}
