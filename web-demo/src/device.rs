//! What the browser's GPU is.

use crate::events::to_js;
use crate::failure::{coded, engine};
use folio_engine::gpu::{AdapterReport, GpuOptions, WgpuMachine};
use js_sys::WebAssembly::Memory;
use js_sys::{ArrayBuffer, Reflect};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

/// The adapter that a model would run on.
///
/// # Errors
/// `no_webgpu`, `below_floor`.
#[wasm_bindgen]
pub async fn adapter() -> Result<JsValue, JsValue> {
    has_webgpu()?;
    let options = GpuOptions {
        allow_software: true,
        ..GpuOptions::default()
    };
    let machine = WgpuMachine::open(options).await.map_err(engine)?;
    Ok(to_js(&report(machine.report())))
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
    let global = js_sys::global();
    let gpu = Reflect::get(&global, &"navigator".into()).and_then(|navigator| Reflect::get(&navigator, &"gpu".into()));
    match gpu {
        Ok(gpu) if gpu.is_object() => Ok(()),
        _ => Err(coded(
            "no_webgpu",
            "this browser has no WebGPU: use a current Chrome, Edge, Safari or Firefox, over https or from localhost",
        )),
    }
}
