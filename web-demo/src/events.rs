//! The engine's events as plain JavaScript objects.

use folio_engine::session::{Event, Session};
use js_sys::{Reflect, Uint8Array};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

/// A plain object.
pub(crate) fn to_js(value: &Value) -> JsValue {
    js_sys::JSON::parse(&value.to_string()).unwrap_or(JsValue::UNDEFINED)
}

/// An event; `session` is where it happened, `model` its model's name.
pub(crate) fn event(event: Event, session: &Session, model: &str) -> JsValue {
    match event {
        Event::Loading { done, total } => to_js(&json!({"type": "loading", "done": done, "total": total})),
        Event::Token { id, text, logprob } => to_js(&json!({
            "type": "token",
            "id": id,
            "text": text,
            "logprob": logprob,
            "slots": session.context().slots(),
            "tokens": session.tokens().len(),
        })),
        Event::Page { index, text, image } => {
            let page = to_js(&json!({
                "type": "page",
                "index": index,
                "text": text,
                "width": image.width,
                "height": image.height,
            }));
            let png = Uint8Array::from(image.to_png().as_slice());
            // A fresh object takes any property.
            Reflect::set(&page, &"png".into(), &png).ok();
            page
        }
        Event::Folded {
            index,
            tokens,
            slots,
            context_slots,
        } => to_js(&json!({
            "type": "folded",
            "index": index,
            "tokens": tokens,
            "slots": slots,
            "contextSlots": context_slots,
        })),
        Event::Unfolded {
            pages,
            tokens,
            context_slots,
        } => to_js(&json!({
            "type": "unfolded",
            "pages": pages,
            "tokens": tokens,
            "contextSlots": context_slots,
        })),
        Event::Stats(mut stats) => {
            model.clone_into(&mut stats.model);
            to_js(&json!({"type": "stats", "stats": stats}))
        }
        Event::Done { reason, text } => to_js(&json!({"type": "done", "reason": reason, "text": text})),
    }
}
