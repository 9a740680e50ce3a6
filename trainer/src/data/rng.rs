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
