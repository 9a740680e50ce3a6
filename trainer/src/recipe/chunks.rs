//! A number or a range of it: chunks of a document, tokens of a chunk.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// A number of chunks (or of tokens), or a range; 0 to 0 where the recipe names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkRange {
    /// Fewest, at least 1 where it is named.
    pub min: usize,
    /// Most.
    pub max: usize,
}

impl<'de> Deserialize<'de> for ChunkRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = ChunkRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number (of chunks, of tokens) of 1 or more, or [min, max]")
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<ChunkRange, E> {
        match usize::try_from(n) {
            Ok(n) if n > 0 => Ok(ChunkRange { min: n, max: n }),
            _ => Err(E::invalid_value(Unexpected::Signed(n), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ChunkRange, A::Error> {
        let both: (Option<usize>, Option<usize>) = (seq.next_element()?, seq.next_element()?);
        match both {
            (Some(min), Some(max)) if 0 < min && min <= max && seq.next_element::<i64>()?.is_none() => {
                Ok(ChunkRange { min, max })
            }
            _ => Err(A::Error::invalid_value(Unexpected::Seq, &self)),
        }
    }
}
