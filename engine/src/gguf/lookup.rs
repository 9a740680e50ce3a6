//! Typed look-up of metadata, with errors that name file and key.

use super::Gguf;
use super::cursor::Cursor;
use super::value::{Array, Kind, Value};
use crate::{Error, Result};
use std::ops::Range;

impl Gguf {
    /// The error that something is wrong with `key`.
    pub(crate) fn wrong(&self, key: &str, what: impl std::fmt::Display) -> Error {
        Error::invalid(&self.place, format!("metadata key {key} {what}"))
    }

    /// A string, if there.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(range)) => self.utf8(range.clone(), key).map(Some),
            Some(_) => Err(self.wrong(key, "must be a string")),
        }
    }

    /// A whole number from 0, if there.
    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Whole(n)) => usize::try_from(*n)
                .map(Some)
                .map_err(|_| self.wrong(key, format!("is {n}: it must be a whole number from 0"))),
            Some(Value::Array(array)) => Err(self.wrong(
                key,
                format!(
                    "is an array of {}: only one value for all layers is supported",
                    array.count
                ),
            )),
            Some(_) => Err(self.wrong(key, "must be a whole number")),
        }
    }

    /// A number, if there.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(x)) => Ok(Some(*x)),
            Some(Value::Whole(n)) => Ok(Some(*n as f64)),
            Some(_) => Err(self.wrong(key, "must be a number")),
        }
    }

    /// True or false, if there.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(key, "must be true or false")),
        }
    }

    /// A token id, if there.
    pub(crate) fn id(&self, key: &str) -> Result<Option<u32>> {
        match self.size(key)? {
            None => Ok(None),
            Some(id) => match u32::try_from(id) {
                Ok(id) => Ok(Some(id)),
                Err(_) => Err(self.wrong(key, format!("is {id}, which is no token id"))),
            },
        }
    }

    /// A list of strings, if there.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        let Some(array) = self.array(key)? else {
            return Ok(None);
        };
        if array.kind != Kind::Text {
            return Err(self.wrong(key, "must be a list of strings"));
        }
        let mut cursor = self.items(array);
        let mut texts = Vec::with_capacity(array.count);
        for _ in 0..array.count {
            let range = cursor.text(key)?;
            texts.push(self.utf8(range.start + array.range.start..range.end + array.range.start, key)?);
        }
        Ok(Some(texts))
    }

    /// A list of numbers, if there.
    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(array) = self.array(key)? else {
            return Ok(None);
        };
        let mut cursor = self.items(array);
        let mut numbers = Vec::with_capacity(array.count);
        for _ in 0..array.count {
            numbers.push(match Value::of(array.kind, &mut cursor, key)? {
                Value::Whole(n) => n as f64,
                Value::Float(x) => x,
                _ => return Err(self.wrong(key, "must be a list of numbers")),
            });
        }
        Ok(Some(numbers))
    }

    fn array(&self, key: &str) -> Result<Option<&Array>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(_) => Err(self.wrong(key, "must be a list")),
        }
    }

    fn items(&self, array: &Array) -> Cursor<'_> {
        Cursor::new(&self.head[array.range.clone()], &self.place)
    }

    fn utf8(&self, range: Range<usize>, key: &str) -> Result<&str> {
        std::str::from_utf8(&self.head[range]).map_err(|_| self.wrong(key, "is not UTF-8"))
    }
}
