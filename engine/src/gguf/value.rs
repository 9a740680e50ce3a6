//! Metadata values. Strings and arrays stay where they are in the file and are read when somebody asks for them.

use super::cursor::Cursor;
use crate::Result;
use std::ops::Range;

/// Arrays within arrays; real files have none.
const MAX_DEPTH: usize = 4;

/// The type of a value or of an array's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self> {
        let code = cursor.u32(format_args!("the type of {key}"))?;
        let kinds = [
            Self::U8,
            Self::I8,
            Self::U16,
            Self::I16,
            Self::U32,
            Self::I32,
            Self::F32,
            Self::Bool,
            Self::Text,
            Self::Array,
            Self::U64,
            Self::I64,
            Self::F64,
        ];
        let kind = usize::try_from(code).ok().and_then(|code| kinds.get(code)).copied();
        kind.ok_or_else(|| cursor.error(format!("{key} is of type {code}, which GGUF does not have")))
    }

    /// Bytes of a value; of a string and of an array, of what stands before their items.
    fn least_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Whole(i128),
    Float(f64),
    Bool(bool),
    /// Bytes of the file.
    Text(Range<usize>),
    Array(Array),
}

/// Items of one type, one after another in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) kind: Kind,
    pub(super) count: usize,
    pub(super) range: Range<usize>,
}

impl Value {
    /// Reads type and value of `key`.
    pub(super) fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self> {
        match Kind::read(cursor, key)? {
            Kind::Array => Ok(Self::Array(array(cursor, key, 0)?)),
            kind => Self::of(kind, cursor, key),
        }
    }

    /// Reads a value of a type that is no array.
    pub(super) fn of(kind: Kind, cursor: &mut Cursor<'_>, key: &str) -> Result<Self> {
        Ok(match kind {
            Kind::U8 => Self::Whole(cursor.u8(key)?.into()),
            Kind::I8 => Self::Whole(i8::from_le_bytes(cursor.array(key)?).into()),
            Kind::U16 => Self::Whole(u16::from_le_bytes(cursor.array(key)?).into()),
            Kind::I16 => Self::Whole(i16::from_le_bytes(cursor.array(key)?).into()),
            Kind::U32 => Self::Whole(cursor.u32(key)?.into()),
            Kind::I32 => Self::Whole(i32::from_le_bytes(cursor.array(key)?).into()),
            Kind::U64 => Self::Whole(cursor.u64(key)?.into()),
            Kind::I64 => Self::Whole(i64::from_le_bytes(cursor.array(key)?).into()),
            Kind::F32 => Self::Float(f32::from_le_bytes(cursor.array(key)?).into()),
            Kind::F64 => Self::Float(f64::from_le_bytes(cursor.array(key)?)),
            Kind::Bool => Self::Bool(cursor.u8(key)? != 0),
            Kind::Text => Self::Text(cursor.text(key)?),
            Kind::Array => return Err(cursor.error(format!("{key} is an array where a value should be"))),
        })
    }
}

/// Passes over an array, checking that all of it is there.
fn array(cursor: &mut Cursor<'_>, key: &str, depth: usize) -> Result<Array> {
    if depth == MAX_DEPTH {
        return Err(cursor.error(format!("{key} has arrays within arrays, {MAX_DEPTH} deep")));
    }
    let kind = Kind::read(cursor, key)?;
    let count = cursor.count(kind.least_bytes(), format_args!("the number of items of {key}"))?;
    let start = cursor.at();
    match kind {
        Kind::Text => {
            for _ in 0..count {
                cursor.text(format_args!("an item of {key}"))?;
            }
        }
        Kind::Array => {
            for _ in 0..count {
                array(cursor, key, depth + 1)?;
            }
        }
        // The count was held against the file already.
        _ => drop(cursor.take((count * kind.least_bytes()) as u64, key)?),
    }
    Ok(Array {
        kind,
        count,
        range: start..cursor.at(),
    })
}
