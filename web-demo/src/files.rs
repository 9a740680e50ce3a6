//! Weights files that JavaScript keeps: read synchronously (a worker can), while they may still be downloading.

use crate::failure::failure;
use folio_engine::checkpoint::PieceFile;
use folio_engine::{Error, Pending, Result};
use js_sys::{Promise, Uint8Array};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** One safetensors file. All but `arrived` is synchronous. */
export interface WeightsFile {
  /** Its file name. */
  readonly name: string;
  /** Bytes, known from the start. */
  readonly size: number;
  /** Fills `into` wholly from `offset`, or throws. */
  read(offset: number, into: Uint8Array): void;
  /** Resolves when the bytes before `end` can be read; rejects when they will not come. */
  arrived(end: number): Promise<void>;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// A weights file of the JavaScript side.
    #[wasm_bindgen(typescript_type = "WeightsFile")]
    #[derive(Clone)]
    pub type WeightsFile;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn name(this: &WeightsFile) -> String;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn size(this: &WeightsFile) -> f64;
    #[wasm_bindgen(method, catch)]
    fn read(this: &WeightsFile, offset: f64, into: &Uint8Array) -> std::result::Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn arrived(this: &WeightsFile, end: f64) -> std::result::Result<Promise, JsValue>;
}

/// What JavaScript threw last: it is passed on as it is, with its own code.
#[derive(Clone, Default)]
pub(crate) struct Thrown(Rc<RefCell<Option<JsValue>>>);

impl Thrown {
    fn keep(&self, place: &str, error: JsValue) -> Error {
        *self.0.borrow_mut() = Some(error);
        Error::invalid(place, "cannot be read")
    }

    /// The error for JavaScript: what it threw itself, or what the engine found.
    pub(crate) fn or(&self, error: &Error, invalid: &str) -> JsValue {
        self.0.borrow_mut().take().unwrap_or_else(|| failure(error, invalid))
    }
}

/// A file for the engine.
pub(crate) struct JsFile {
    file: WeightsFile,
    name: String,
    thrown: Thrown,
}

impl JsFile {
    pub(crate) fn new(file: WeightsFile, thrown: Thrown) -> Self {
        Self {
            name: file.name(),
            file,
            thrown,
        }
    }
}

impl PieceFile for JsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn length(&self) -> u64 {
        self.file.size() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        // Through an array of JavaScript's own: a view of WebAssembly memory would be cut off if that memory grew.
        let array = Uint8Array::new_with_length(bytes.len() as u32);
        self.file
            .read(range.start as f64, &array)
            .map_err(|e| self.thrown.keep(&self.name, e))?;
        array.copy_to(&mut bytes);
        Ok(bytes)
    }

    fn arrived(&self, end: u64) -> Pending<'_, ()> {
        Box::pin(async move {
            let wait = async { JsFuture::from(self.file.arrived(end as f64)?).await };
            wait.await.map(drop).map_err(|e| self.thrown.keep(&self.name, e))
        })
    }
}
