//! Typed look-up of JSON keys, with errors that name file, key, value and what would be right.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// One JSON object of a file.
pub(super) struct Keys<'a> {
    place: &'a str,
    prefix: String,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    /// The top-level object of the file `place`.
    pub(super) fn root(value: &'a Value, place: &'a str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self {
                place,
                prefix: String::new(),
                map,
            }),
            other => Err(Error::invalid(
                place,
                format!("must hold a JSON object, not {}", shown(other)),
            )),
        }
    }

    /// The object under `key`, which must be there.
    pub(super) fn object(&self, key: &str) -> Result<Keys<'a>> {
        match self.get(key) {
            Some(Value::Object(map)) => Ok(Keys {
                place: self.place,
                prefix: format!("{}{key}.", self.prefix),
                map,
            }),
            found => Err(self.wrong(key, found, "a JSON object")),
        }
    }

    /// The value under `key`; `None` when missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A whole number that must be there.
    pub(super) fn size(&self, key: &str) -> Result<usize> {
        let found = self.get(key);
        let number = found.and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| self.wrong(key, found, "a whole number"))
    }

    /// A whole number, or `default` when missing.
    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).is_some() {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    /// A number, or `default` when missing.
    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            found => found
                .and_then(Value::as_f64)
                .ok_or_else(|| self.wrong(key, found, "a number")),
        }
    }

    /// A number that must be there.
    pub(super) fn number(&self, key: &str) -> Result<f64> {
        let found = self.get(key);
        found
            .and_then(Value::as_f64)
            .ok_or_else(|| self.wrong(key, found, "a number"))
    }

    /// `true` or `false`, or `default` when missing.
    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            found => found
                .and_then(Value::as_bool)
                .ok_or_else(|| self.wrong(key, found, "true or false")),
        }
    }

    /// A string, if there.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            found => Err(self.wrong(key, found, "a string")),
        }
    }

    /// One token id or a list of them, if there.
    pub(super) fn ids(&self, key: &str) -> Result<Option<Vec<u32>>> {
        let id = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let found = self.get(key);
        let ids = match found {
            None => return Ok(None),
            Some(Value::Array(list)) => list.iter().map(id).collect::<Option<Vec<u32>>>(),
            Some(one) => id(one).map(|id| vec![id]),
        };
        ids.map(Some)
            .ok_or_else(|| self.wrong(key, found, "a token id or a list of token ids"))
    }

    /// Refuses every key that is not in `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        match self.map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.error(key, format!("is not known here: the keys are {}", known.join(", ")))),
        }
    }

    /// The error "`key` is missing" or "`key` is `found`, but must be `right`".
    pub(super) fn wrong(&self, key: &str, found: Option<&Value>, right: &str) -> Error {
        match found {
            None => self.error(key, format!("is missing: it must be {right}")),
            Some(value) => self.error(key, format!("is {}: it must be {right}", shown(value))),
        }
    }

    /// An error about `key`.
    pub(super) fn error(&self, key: &str, what: impl AsRef<str>) -> Error {
        Error::invalid(self.place, format!("{}{} {}", self.prefix, clip(key), what.as_ref()))
    }
}

/// A value as it is shown in an error: never long, always one line.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(list) if list.len() > 8 => format!("a list of {} values", list.len()),
        other => clip(&other.to_string()),
    }
}

fn clip(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(60)
        .collect();
    if text.chars().nth(60).is_some() {
        format!("{line}…")
    } else {
        line
    }
}
