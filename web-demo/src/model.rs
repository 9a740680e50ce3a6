//! A model on the browser's GPU, and the text that it writes.

use crate::device;
use crate::events::{event, to_js};
use crate::failure::{coded, engine, failure};
use crate::files::{JsFile, Thrown, WeightsFile};
use crate::settings::{from_js, settings};
use folio_engine::Error;
use folio_engine::checkpoint::{Checkpoint, PieceFile, tensors};
use folio_engine::config::Config;
use folio_engine::gpu::{GpuOptions, GpuRunner, tested};
use folio_engine::page::FontStack;
use folio_engine::runner::Runner;
use folio_engine::session::{ContextMode, PartKind, SavedSession, Session, fingerprint_of};
use folio_engine::text::Tokenizer;
use js_sys::{Function, Uint8Array};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// How to load.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    name: String,
    memory_bytes: Option<u64>,
    #[serde(default)]
    slots: usize,
    #[serde(default = "yes")]
    software: bool,
}

fn yes() -> bool {
    true
}

/// The runner, alone or at work.
enum State {
    Idle(Box<dyn Runner>),
    Writing(Box<Session>),
    /// While one becomes the other, and after that failed.
    Between,
}

/// A loaded model with at most one document.
#[wasm_bindgen]
pub struct Model {
    state: State,
    config: Config,
    tokenizer: Arc<Tokenizer>,
    fonts: FontStack,
    name: String,
    /// Of model and fonts, for session files.
    prints: (String, String),
    adapter: Value,
    parameters: usize,
    lose: Box<dyn Fn()>,
    /// What the weights files threw when they were read again, after a lost device.
    thrown: Thrown,
}

#[wasm_bindgen]
impl Model {
    /// Loads a model: `texts` are `config.json` and `tokenizer.json` by name, `weights` its safetensors files. Tensors go to
    /// the GPU as they arrive, one at a time. `progress` gets what is being done and the share that is done.
    ///
    /// # Errors
    /// An `Error` with a `code`: `no_webgpu`, `below_floor`, `too_large`, `corrupt`, `bad_argument`, or what a file threw.
    pub async fn load(
        texts: JsValue,
        weights: Vec<WeightsFile>,
        options: JsValue,
        progress: Function,
    ) -> Result<Model, JsValue> {
        let options: Options = from_js(&options)?;
        let texts: HashMap<String, String> = from_js(&texts)?;
        let text = |name: &str| {
            let missing = || coded("corrupt", &format!("{}: {name} is missing", options.name));
            texts.get(name).ok_or_else(missing)
        };
        let corrupt = |e: Error| failure(&e, "corrupt");
        let (json, tokens) = (text("config.json")?, text("tokenizer.json")?);
        let config = Config::from_json(json, "config.json").map_err(corrupt)?;
        let tokenizer = Tokenizer::from_bytes(tokens.as_bytes(), "tokenizer.json").map_err(corrupt)?;
        if tokenizer.vocab_size() > config.text.vocab_size {
            let what = "tokenizer.json has more ids than the model's vocab_size: they do not belong together";
            return Err(coded("corrupt", what));
        }
        let mut report = |what: &str, share: f32| {
            // A listener that throws is the page's own trouble, not the model's.
            progress.call2(&JsValue::NULL, &what.into(), &share.into()).ok();
        };
        device::has_webgpu()?;
        report("testing the GPU", 0.0);
        let machine = device::open(GpuOptions {
            allow_software: options.software,
            memory_bytes: options.memory_bytes,
            ..GpuOptions::default()
        });
        let machine = tested(machine.await?).await.map_err(engine)?;
        let adapter = device::report(machine.report());
        let lose = Box::new(machine.loss());
        let thrown = Thrown::default();
        let mut files: Vec<&WeightsFile> = weights.iter().collect();
        files.sort_by_key(|file| file.name());
        let pieces =
            |file: &&WeightsFile| -> Box<dyn PieceFile> { Box::new(JsFile::new((*file).clone(), thrown.clone())) };
        let opened = Checkpoint::from_pieces(files.iter().map(pieces).collect()).await;
        let checkpoint = opened.map_err(|e| thrown.or(&e, "corrupt"))?;
        checkpoint.check(&config).map_err(corrupt)?;
        let runner = GpuRunner::new(machine, &config, Box::new(checkpoint), options.slots, &mut report)
            .await
            .map_err(|e| match e {
                // Shapes that the kernels cannot do: the model's fault, not ours.
                Error::Gpu(what) => coded("bad_argument", &what),
                e => thrown.or(&e, "corrupt"),
            })?;
        let fonts = FontStack::embedded();
        let lengths: Vec<(Vec<u8>, u64)> = files
            .iter()
            .map(|file| (file.name().into_bytes(), file.size() as u64))
            .collect();
        let readers: Vec<Box<dyn PieceFile>> = files.iter().map(pieces).collect();
        // A file may end with a tensor that the model does not use: its last bytes are hashed, too.
        for file in &readers {
            file.arrived(file.length())
                .await
                .map_err(|e| thrown.or(&e, "corrupt"))?;
        }
        let print = fingerprint_of(json.as_bytes(), tokens.as_bytes(), &lengths, &mut |i, range| {
            readers[i].read(range)
        })
        .map_err(|e| thrown.or(&e, "corrupt"))?;
        let hex = fonts.fingerprint().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Model {
            parameters: tensors(&config).iter().map(|spec| spec.elements()).sum(),
            state: State::Idle(Box::new(runner)),
            config,
            tokenizer: Arc::new(tokenizer),
            fonts,
            name: options.name,
            prints: (print, hex),
            adapter,
            lose,
            thrown,
        })
    }

    /// What it is.
    ///
    /// # Errors
    /// `engine`: an earlier error broke the model.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let fold = self.config.fold.as_ref();
        let runner = self.runner()?;
        Ok(to_js(&json!({
            "name": self.name,
            "parameters": self.parameters,
            "weightBytes": runner.weight_bytes(),
            "kvBytesPerSlot": runner.kv_bytes_per_slot(),
            "chunkTokens": fold.map_or(0, |f| f.chunk_tokens),
            "visualTokens": fold.map_or(0, |f| f.visual_tokens),
            "maxSlots": self.config.text.max_position_embeddings,
            "vocabSize": self.config.text.vocab_size,
            "device": runner.device(),
            "adapter": self.adapter,
            "pageWidth": fold.map_or(0, |f| f.vision.image_width),
            "pageHeight": fold.map_or(0, |f| f.vision.image_height),
        })))
    }

    /// What the device has done and holds.
    ///
    /// # Errors
    /// `engine`: an earlier error broke the model.
    pub fn counts(&self) -> Result<JsValue, JsValue> {
        let counts = self.runner()?.counts().unwrap_or_default();
        Ok(to_js(&json!({
            "dispatches": counts.dispatches,
            "submits": counts.submits,
            "readbackBytes": counts.readback_bytes,
            "buffers": counts.buffers,
            "bufferBytes": counts.buffer_bytes,
            "kvBytes": counts.kv_bytes,
        })))
    }

    /// A new document that begins with `prompt`; the former is given up.
    ///
    /// # Errors
    /// `bad_argument`: settings out of range, folding asked of a text-only model.
    pub fn start(&mut self, prompt: &str, wish: JsValue) -> Result<(), JsValue> {
        let (settings, mode) = settings(&wish)?;
        if mode == ContextMode::Folded && self.config.fold.is_none() {
            return Err(coded(
                "bad_argument",
                "a text-only model cannot fold: ask for context \"full\"",
            ));
        }
        let ids = self.tokenizer.encode(prompt).map_err(engine)?;
        let runner = self.take()?;
        let mut session =
            Session::new(runner, self.tokenizer.clone(), self.fonts.clone(), mode, settings).map_err(engine)?;
        let pushed = session.push(PartKind::Prompt, ids).map_err(engine);
        self.state = State::Writing(Box::new(session));
        pushed
    }

    /// A saved document.
    ///
    /// # Errors
    /// `bad_session`: damaged, or of another model.
    pub fn restore(&mut self, saved: &[u8], wish: JsValue) -> Result<(), JsValue> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wish {
            max_new_tokens: usize,
        }
        let wish: Wish = from_js(&wish)?;
        let bad = |e: Error| coded("bad_session", &e.to_string());
        let saved = SavedSession::from_json(saved, "the session file", &self.prints.0, &self.prints.1).map_err(bad)?;
        saved.check(&self.config, &self.tokenizer).map_err(bad)?;
        let settings = saved.settings(wish.max_new_tokens);
        let runner = self.take()?;
        let session = saved
            .restore(runner, self.tokenizer.clone(), self.fonts.clone(), settings)
            .map_err(bad)?;
        self.state = State::Writing(Box::new(session));
        Ok(())
    }

    /// After "done": lets the text go on.
    ///
    /// # Errors
    /// `bad_argument`: there is no text.
    #[wasm_bindgen(js_name = resume)]
    pub fn go_on(&mut self, max_new_tokens: usize) -> Result<(), JsValue> {
        self.session_mut().map(|session| session.resume(max_new_tokens))
    }

    /// The next event; `undefined` after "done".
    ///
    /// # Errors
    /// `device_lost` (recovery failed, too), `too_large` (the context outgrew the device), `engine`.
    pub async fn next(&mut self) -> Result<JsValue, JsValue> {
        let (name, thrown) = (self.name.clone(), self.thrown.clone());
        let session = self.session_mut()?;
        let next = session.next_event().await;
        match next.map_err(|e| thrown.or(&e, "engine"))? {
            Some(next) => Ok(event(next, session, &name)),
            None => Ok(JsValue::UNDEFINED),
        }
    }

    /// Ends the text: the next events are the statistics and the end.
    ///
    /// # Errors
    /// `bad_argument`: there is no text.
    pub async fn cancel(&mut self) -> Result<(), JsValue> {
        self.session_mut()?.cancel().await;
        Ok(())
    }

    /// The document as a session file, the same that `folio generate --save-session` writes.
    ///
    /// # Errors
    /// `bad_argument`: there is no text, or its beginning has not been read yet.
    pub async fn save(&mut self) -> Result<Uint8Array, JsValue> {
        let State::Writing(session) = &mut self.state else {
            return Err(nothing());
        };
        // In mid-text the last token was shown and not read. A device that fails at it is told of by `next`; the file then
        // ends before that token.
        session.settle().await.ok();
        let saved = session.save(&self.prints.0, &self.prints.1).map_err(engine)?;
        Ok(Uint8Array::from(saved.to_json().map_err(engine)?.as_slice()))
    }

    /// Destroys the GPU device as a driver reset would, once: for tests of recovery.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        (self.lose)();
    }

    /// The whole document, prompt first.
    pub fn text(&self) -> String {
        match &self.state {
            // The first token is BOS.
            State::Writing(session) => self.tokenizer.decode(session.tokens().get(1..).unwrap_or_default()),
            _ => String::new(),
        }
    }
}

impl Model {
    fn runner(&self) -> Result<&dyn Runner, JsValue> {
        match &self.state {
            State::Idle(runner) => Ok(runner.as_ref()),
            State::Writing(session) => Ok(session.runner()),
            State::Between => Err(broken()),
        }
    }

    fn session_mut(&mut self) -> Result<&mut Session, JsValue> {
        match &mut self.state {
            State::Writing(session) => Ok(session),
            _ => Err(nothing()),
        }
    }

    /// The runner, out of its document.
    fn take(&mut self) -> Result<Box<dyn Runner>, JsValue> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Idle(runner) => Ok(runner),
            State::Writing(session) => Ok(session.into_runner()),
            State::Between => Err(broken()),
        }
    }
}

fn broken() -> JsValue {
    coded("engine", "the model was broken by an earlier error: load it again")
}

fn nothing() -> JsValue {
    coded("bad_argument", "there is no text yet: start one")
}
