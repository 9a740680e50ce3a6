//! Errors as JavaScript sees them: an `Error` with a `code`.

use folio_engine::Error;
use js_sys::Reflect;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn log(what: &str);
}

/// An `Error` with this code.
pub(crate) fn coded(code: &str, what: &str) -> JsValue {
    let error = js_sys::Error::new(what);
    // A fresh object takes any property.
    Reflect::set(&error, &"code".into(), &code.into()).ok();
    error.into()
}

/// The engine's error; `invalid` is the code for content that is not what it should be.
pub(crate) fn failure(error: &Error, invalid: &str) -> JsValue {
    let code = match error {
        Error::NoGpu(_) => "no_webgpu",
        Error::GpuBelowFloor(_) => "below_floor",
        Error::GpuTooSmall(_) => "too_large",
        Error::DeviceLost(_) => "device_lost",
        Error::Invalid { .. } | Error::NotFinite(_) => invalid,
        Error::Argument(_) => "bad_argument",
        _ => "engine",
    };
    coded(code, &error.to_string())
}

/// As [`failure`], for what happens while a loaded model runs.
pub(crate) fn engine(error: Error) -> JsValue {
    failure(&error, "engine")
}
