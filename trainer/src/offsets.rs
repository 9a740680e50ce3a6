//! NLL by the place of a token inside its chunk: memory matters at the start, and an average hides it.

use crate::stats::Mean;

/// Buckets: offsets 0, 1, 2–3, 4–7, … up to 2¹⁵ and more.
const BUCKETS: usize = 17;

/// A mean for each stretch of offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ByOffset([Mean; BUCKETS]);

impl ByOffset {
    /// Adds the NLL of the token at `offset` of its chunk.
    pub fn add(&mut self, offset: usize, nll: f64) {
        self.0[bucket(offset)].add(nll, 1.0);
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            own.merge(other);
        }
    }

    /// The means, from offset 0 up to the last that was seen; `None` where no token was.
    pub fn means(&self) -> Vec<Option<f64>> {
        let mut means: Vec<Option<f64>> = self.0.iter().map(Mean::get).collect();
        while means.last() == Some(&None) {
            means.pop();
        }
        means
    }
}

fn bucket(offset: usize) -> usize {
    ((usize::BITS - offset.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// The first offset of bucket `i`: 0, 1, 2, 4, 8, …
pub fn first_of(i: usize) -> usize {
    match i {
        0 => 0,
        i => 1 << (i - 1),
    }
}

/// Bucket `i` in words: `"4–7"`, the last one that is full at `most` tokens a chunk.
pub fn label(i: usize, most: usize) -> String {
    let (first, last) = (first_of(i), (first_of(i + 1) - 1).min(most.saturating_sub(1)));
    if first >= last {
        first.to_string()
    } else {
        format!("{first}–{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_fall_into_doubling_stretches() {
        let mut by = ByOffset::default();
        for offset in 0..10 {
            by.add(offset, offset as f64);
        }
        assert_eq!(by.means(), [Some(0.0), Some(1.0), Some(2.5), Some(5.5), Some(8.5)]);
        let labels: Vec<String> = (0..5).map(|i| label(i, 10)).collect();
        assert_eq!(labels, ["0", "1", "2–3", "4–7", "8–9"]);
        for i in 0..BUCKETS - 1 {
            assert_eq!((bucket(first_of(i)), bucket(first_of(i + 1) - 1)), (i, i));
        }
        assert_eq!(bucket(usize::MAX), BUCKETS - 1);
        let mut twice = by;
        twice.merge(&by);
        assert_eq!(twice.means(), by.means());
        assert!(ByOffset::default().means().is_empty());
    }
}
