//! Products with stored weights against sums over the values that the formats' reference gives, in f64.

use super::*;
use half::{bf16, f16};
use proptest::prelude::*;

const KINDS: [StoredType; 5] = [
    StoredType::F16,
    StoredType::BF16,
    StoredType::Q8_0,
    StoredType::Q4_0,
    StoredType::Q4_1,
];

/// Numbers from −1 to 1 and bytes, in a row that `seed` tells.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn number(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }

    fn numbers(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number()).collect()
    }

    /// Bytes of `n` values of `kind`, scales of both signs among them.
    fn stored(&mut self, kind: StoredType, n: usize) -> Vec<u8> {
        match kind {
            StoredType::F16 => (0..n)
                .flat_map(|_| f16::from_f32(self.number()).to_le_bytes())
                .collect(),
            StoredType::BF16 => (0..n)
                .flat_map(|_| bf16::from_f32(self.number()).to_le_bytes())
                .collect(),
            _ => {
                let (values, size) = kind.block();
                let halves = if kind == StoredType::Q4_1 { 2 } else { 1 };
                let mut bytes = Vec::new();
                for _ in 0..n / values {
                    for _ in 0..halves {
                        bytes.extend(f16::from_f32(self.number() / 16.0).to_le_bytes());
                    }
                    bytes.extend((2 * halves..size).map(|_| self.next() as u8));
                }
                bytes
            }
        }
    }
}

/// All of `[n, out]` within what 24 bits of mantissa allow a sum in another order.
fn is_the_product(kind: StoredType, bytes: &[u8], x: &[f32], inputs: usize, y: &[f32]) {
    let mut values = Vec::new();
    kind.decode(bytes, &mut values);
    let outputs = values.len() / inputs;
    assert_eq!(y.len(), x.len() / inputs * outputs);
    for (i, x) in x.chunks_exact(inputs).enumerate() {
        for (o, row) in values.chunks_exact(inputs).enumerate() {
            let terms = || row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (exact, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
            let found = f64::from(y[i * outputs + o]);
            // A format with a minimum adds two sums that are larger than the result.
            let bound = 1e-6 * (size + inputs as f64) + 1e-6;
            assert!(
                (found - exact).abs() < bound,
                "{kind}, row {i}, {o}: {found} for {exact}"
            );
        }
    }
}

proptest! {
    #[test]
    fn one_token_s_products_are_those_of_the_values(
        kind in prop::sample::select(KINDS.to_vec()),
        // Rows of more than one run of blocks among them.
        blocks in 1..70usize,
        outputs in 1..70usize,
        seed: u64,
    ) {
        let (mut noise, inputs) = (Noise(seed), blocks * BLOCK);
        let (x, bytes) = (noise.numbers(inputs), noise.stored(kind, inputs * outputs));
        let w = Stored { kind, bytes: &bytes, inputs };
        for level in Level::available() {
            let [y] = one_token(level, [w], &x);
            is_the_product(kind, &bytes, &x, inputs, &y);
        }
    }

    #[test]
    fn values_are_the_reference_s_bit_for_bit(
        kind in prop::sample::select(KINDS.to_vec()),
        blocks in 1..70usize,
        rows in 1..5usize,
        seed: u64,
    ) {
        let inputs = blocks * BLOCK;
        let bytes = Noise(seed).stored(kind, inputs * rows);
        let mut want = Vec::new();
        kind.decode(&bytes, &mut want);
        for level in Level::available() {
            let mut found = vec![f32::NAN; want.len()];
            level.widen(Stored { kind, bytes: &bytes, inputs }, &mut found);
            // −0 and 0 are the same value.
            prop_assert_eq!(&found, &want, "{:?} {}", level, kind);
        }
    }

    #[test]
    fn many_tokens_products_are_those_of_the_values(
        kind in prop::sample::select(KINDS.to_vec()),
        n in 2..70usize,
        blocks in 1..5usize,
        outputs in 1..140usize,
        seed: u64,
    ) {
        let (mut noise, inputs) = (Noise(seed), blocks * BLOCK);
        let (x, bytes) = (noise.numbers(n * inputs), noise.stored(kind, inputs * outputs));
        let [y] = linear([Stored { kind, bytes: &bytes, inputs }], &x);
        is_the_product(kind, &bytes, &x, inputs, &y);
    }

    /// Rows of 16-bit floats need be no whole blocks.
    #[test]
    fn odd_rows_of_halves(inputs in 1..100usize, n in 1..3usize, seed: u64, brain: bool) {
        let (mut noise, kind) = (Noise(seed), if brain { StoredType::BF16 } else { StoredType::F16 });
        let (x, bytes) = (noise.numbers(n * inputs), noise.stored(kind, inputs * 7));
        let w = Stored { kind, bytes: &bytes, inputs };
        let [y] = linear([w], &x);
        is_the_product(kind, &bytes, &x, inputs, &y);
        if n == 1 {
            for level in Level::available() {
                let [y] = one_token(level, [w], &x);
                is_the_product(kind, &bytes, &x, inputs, &y);
            }
        }
    }
}

#[test]
fn several_products_share_the_cores_and_keep_their_places() {
    let (mut noise, inputs) = (Noise(7), 576);
    let x = noise.numbers(inputs);
    let kinds = [StoredType::Q8_0, StoredType::Q4_0, StoredType::F16];
    let bytes = [576, 192, 33].map(|outputs| outputs * inputs);
    let bytes: Vec<Vec<u8>> = kinds
        .iter()
        .zip(bytes)
        .map(|(&kind, n)| noise.stored(kind, n))
        .collect();
    let weights = [0, 1, 2].map(|i| Stored {
        kind: kinds[i],
        bytes: &bytes[i],
        inputs,
    });
    for (i, y) in linear(weights, &x).into_iter().enumerate() {
        is_the_product(kinds[i], &bytes[i], &x, inputs, &y);
    }
}

#[test]
fn rows_of_a_table() {
    let bytes = Noise(3).stored(StoredType::Q4_0, 5 * 64);
    let w = Stored {
        kind: StoredType::Q4_0,
        bytes: &bytes,
        inputs: 64,
    };
    let mut all = Vec::new();
    w.kind.decode(&bytes, &mut all);
    let found = rows(w, [4, 0, 4].into_iter());
    assert_eq!(found, [&all[256..320], &all[..64], &all[256..320]].concat());
}

#[test]
fn the_bytes_of_a_row_tell_its_type() {
    for kind in [StoredType::Q8_0, StoredType::Q4_0, StoredType::Q4_1] {
        for inputs in [32, 576, 1536] {
            assert_eq!(Stored::blocks(kind.row_bytes(inputs).unwrap_or(0), inputs), Some(kind));
        }
    }
    assert_eq!(Stored::blocks(64, 32), None);
    assert_eq!(Stored::blocks(17, 16), None);
}
