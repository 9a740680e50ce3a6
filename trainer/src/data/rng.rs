//! Random numbers that are pure functions of what they are for, so that a run resumes from a bare index.

/// A well mixed 64-bit value of `parts` (SplitMix64's finaliser over each part in turn).
pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| {
        mix(state ^ part.wrapping_mul(0xff51_afd7_ed55_8ccd))
    })
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where `i` of `0..n` goes in the permutation that `key` names: a four-round Feistel network on the next even number
/// of bits, walked until it lands below `n`. No table, so that any place of any epoch is known at once.
///
/// # Panics
/// If `i` is not below `n`.
pub fn permuted(i: u64, n: u64, key: &[u64]) -> u64 {
    assert!(i < n, "{i} is not below {n}");
    let half = (64 - (n - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let key = hash(key);
    let mut at = i;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (hash(&[key, round, right]) & mask));
        }
        at = left << half | right;
        if at < n {
            return at;
        }
    }
}

/// A small generator (SplitMix64) for one sample's choices.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `parts` (a seed, a purpose, an index, …).
    pub fn new(parts: &[u64]) -> Self {
        Self(hash(parts))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_are_whole_and_differ_by_key() {
        for n in [1, 2, 3, 7, 64, 65, 1000] {
            let of = |key: u64| -> Vec<u64> { (0..n).map(|i| permuted(i, n, &[key])).collect() };
            let mut sorted = of(1);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>());
            assert_eq!(of(1), of(1));
            assert!(n < 7 || of(1) != of(2));
        }
    }

    #[test]
    fn numbers_are_repeatable_and_spread() {
        let draw = || {
            (0..1000).map({
                let mut rng = Rng::new(&[7, 1]);
                move |_| rng.below(10)
            })
        };
        let numbers: Vec<u64> = draw().collect();
        assert_eq!(numbers, draw().collect::<Vec<_>>());
        for digit in 0..10 {
            let count = numbers.iter().filter(|&&n| n == digit).count();
            assert!((50..200).contains(&count), "{digit} came {count} times in 1000");
        }
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
    }
}
