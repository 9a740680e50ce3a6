//! Chat templates (Jinja, as in `tokenizer_config.json`).

use super::chat_split;
use super::gguf::tokenizer_config;
use crate::gguf::{Gguf, is_gguf};
use crate::{Error, Result};
use minijinja::value::Kwargs;
use minijinja::{Environment, ErrorKind, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// Steps that a template may take: a thousand messages need a small part of it.
const FUEL: u64 = 20_000_000;

/// For models without a template.
const PLAIN: &str = "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}\
    {% if add_generation_prompt %}Assistant:{% endif %}";

/// Keys of `tokenizer_config.json` that templates know by name.
const TOKENS: [&str; 4] = ["bos_token", "eos_token", "unk_token", "pad_token"];

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// "system", "user" or "assistant".
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A stretch of a rendered chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatPart {
    /// Role markers and whatever else the template writes: stays raw text, its special tokens count
    /// (`Tokenizer::encode_with_special`). The first may begin with the BOS token.
    Raw(String),
    /// A turn's text: chunked by itself, special tokens written in it are plain text (`Tokenizer::encode`).
    Content {
        /// Whose turn.
        role: String,
        /// The message's content as the template gives it (some trim it or leave out old reasoning).
        text: String,
    },
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    source: String,
    place: String,
    tokens: BTreeMap<String, String>,
    plain: bool,
}

impl ChatTemplate {
    /// The template of the model in `dir`, a folder or a GGUF file: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json` (a
    /// string, or a list with a "default"), else a plain one ([`Self::plain`]).
    ///
    /// # Errors
    /// A file that cannot be read, is not JSON, or holds a template that is not valid Jinja.
    pub fn load(dir: &Path) -> Result<Self> {
        if is_gguf(dir) {
            return Self::from_gguf(&Gguf::open(dir)?);
        }
        let config_path = dir.join("tokenizer_config.json");
        let config_place = config_path.display().to_string();
        let config = read(&config_path)?.unwrap_or_else(|| "null".to_owned());
        let jinja_path = dir.join("chat_template.jinja");
        match read(&jinja_path)? {
            Some(source) => {
                let tokens = tokens(&json(&config, &config_place)?);
                Self::new(source, tokens, jinja_path.display().to_string())
            }
            None => Self::from_config(&config, &config_place),
        }
    }

    /// The template in the text of a `tokenizer_config.json`; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_config(config: &str, place: &str) -> Result<Self> {
        Self::of_config(&json(config, place)?, format!("{place}: chat_template"))
    }

    /// The template of a GGUF file, or the plain one.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let config = tokenizer_config(gguf)?;
        Self::of_config(&config, format!("{}: tokenizer.chat_template", gguf.place()))
    }

    /// The template in a `tokenizer_config.json`.
    fn of_config(config: &Json, place: String) -> Result<Self> {
        let tokens = tokens(config);
        match config.get("chat_template") {
            None | Some(Json::Null) => Ok(Self::plain()),
            Some(Json::String(source)) => Self::new(source.clone(), tokens, place),
            Some(list) => match default_of(list) {
                Some(source) => Self::new(source, tokens, place),
                None => Err(Error::invalid(
                    place,
                    "neither a string nor a list of {name, template} with a \"default\"",
                )),
            },
        }
    }

    /// A template from its source; `tokens` are variables it may use (`bos_token`, …), `place` names it in errors.
    ///
    /// # Errors
    /// A source that is not valid Jinja.
    pub fn new(source: String, tokens: BTreeMap<String, String>, place: impl Into<String>) -> Result<Self> {
        let template = Self {
            env: environment(),
            source: without_generation_tags(&source),
            place: place.into(),
            tokens,
            plain: false,
        };
        match template.env.template_from_str(&template.source) {
            Ok(_) => Ok(template),
            Err(e) => Err(Error::invalid(&template.place, one_line(&e))),
        }
    }

    /// The template for models that have none: `Role: text`, a blank line between turns, no special tokens.
    pub fn plain() -> Self {
        Self {
            env: environment(),
            source: PLAIN.into(),
            place: "the plain chat template".into(),
            tokens: BTreeMap::new(),
            plain: true,
        }
    }

    /// Whether this is [`Self::plain`]: the model was not made for chat.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The whole chat as one text; `add_generation_prompt` ends it where the assistant's next turn begins.
    ///
    /// # Errors
    /// Messages that the template refuses (`raise_exception`) or cannot render.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let failed = |e: minijinja::Error| Error::invalid(&self.place, one_line(&e));
        let template = self.env.template_from_str(&self.source).map_err(failed)?;
        let mut context: BTreeMap<&str, Value> = self
            .tokens
            .iter()
            .map(|(k, v)| (k.as_str(), Value::from(v.as_str())))
            .collect();
        context.insert("messages", Value::from_serialize(messages));
        context.insert("add_generation_prompt", Value::from(add_generation_prompt));
        template.render(context).map_err(failed)
    }

    /// The chat in parts: the turns' texts apart from the markers around them.
    ///
    /// Concatenated, the parts are what [`Self::render`] gives. A text that looks like a role marker stays inside its
    /// [`ChatPart::Content`]. Empty parts are left out.
    ///
    /// # Errors
    /// As [`Self::render`]; and a template whose output around the turns changes with their texts.
    pub fn split(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<ChatPart>> {
        let render = |messages: &[Message]| self.render(messages, add_generation_prompt);
        chat_split::split(messages, render)?.ok_or_else(|| {
            let what = "it mixes the messages' texts with its own in a way that cannot be told apart: chat needs another template";
            Error::invalid(&self.place, what)
        })
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// Special tokens by name; each is a string or an object with `content`.
fn json(text: &str, place: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| Error::invalid(place, format!("not JSON ({e})")))
}

fn tokens(config: &Json) -> BTreeMap<String, String> {
    let content = |v: &Json| v.as_str().or_else(|| v.get("content")?.as_str()).map(str::to_owned);
    TOKENS
        .iter()
        .filter_map(|&name| Some((name.to_owned(), content(config.get(name)?)?)))
        .collect()
}

fn default_of(list: &Json) -> Option<String> {
    let named = |t: &&Json| t.get("name").and_then(Json::as_str) == Some("default");
    list.as_array()?
        .iter()
        .find(named)?
        .get("template")?
        .as_str()
        .map(str::to_owned)
}

/// Jinja as Hugging Face sets it up.
fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_fuel(Some(FUEL));
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_function(
        "raise_exception",
        |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    // Unlike Jinja's own, Hugging Face's does not escape HTML. `indent` and its kin are accepted and ignored.
    env.add_filter("tojson", |value: Value, _options: Kwargs| {
        serde_json::to_string(&value).map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))
    });
    env
}

/// `{% generation %}` marks what a trainer learns; it is no Jinja and draws nothing: a condition that always holds.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|n| start + n) else {
            break;
        };
        let tag = &rest[start + 2..end];
        let name = tag.trim_matches(['-', '+']).trim();
        let replaced = match name {
            "generation" => tag.replace(name, "if true"),
            "endgeneration" => tag.replace(name, "endif"),
            _ => tag.to_owned(),
        };
        out.push_str(&rest[..start + 2]);
        out.push_str(&replaced);
        out.push_str("%}");
        rest = &rest[end + 2..];
    }
    out + rest
}

fn one_line(error: &minijinja::Error) -> String {
    let line = error.line().map_or(String::new(), |n| format!(" (template line {n})"));
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    what.split_whitespace().collect::<Vec<_>>().join(" ") + &line
}
