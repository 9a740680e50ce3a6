//! The CPU kernels of inference against the plain operations that they stand for.

use super::{Fused, PageLengths, Prefix, Seen, plain, unwrap, wrap};
use burn::tensor::{FloatDType, Tensor, TensorData};
use burn_flex::Flex;
use proptest::prelude::*;
use std::sync::Arc;

/// Numbers of about -3 to 3: large enough that a softmax is not flat.
fn noise<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<Flex, D> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 3.0
        })
        .collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn vec<const D: usize>(t: Tensor<Flex, D>) -> Vec<f32> {
    t.into_data().into_vec().expect("f32")
}

#[derive(Debug, Clone)]
struct Case {
    queries: usize,
    kv_heads: usize,
    groups: usize,
    dim: usize,
    buffers: Vec<Prefix>,
    /// Rows at the end of every buffer that nobody sees.
    spare: usize,
}

impl Case {
    /// The same inputs for the kernel and the plain operations; what nobody sees is not a number.
    fn check(&self) {
        let heads = self.kv_heads * self.groups;
        let scale = (self.dim as f64).powf(-0.5);
        let q = noise([self.queries, heads, self.dim], 1).mul_scalar(scale);
        let buffers = || -> Vec<Seen<Flex>> {
            let make = |(i, &seen): (usize, &Prefix)| {
                let used = (0..self.queries).map(|i| seen.rows(i)).max().unwrap_or(0);
                let buffer = |seed| {
                    let shape = [self.kv_heads, used + self.spare, self.dim];
                    let mut values = vec::<3>(noise(shape, seed));
                    for head in values.chunks_exact_mut(shape[1] * shape[2]) {
                        head[used * self.dim..].fill(f32::NAN);
                    }
                    let buffer = TensorData::new(values, shape);
                    unwrap(Tensor::<Flex, 3>::from_data(buffer, &Default::default()))
                };
                let seed = 2 + 2 * i as u64;
                Seen {
                    k: buffer(seed),
                    v: buffer(seed + 1),
                    seen,
                }
            };
            self.buffers.iter().enumerate().map(make).collect()
        };
        let attended = |t| vec::<3>(wrap::<Flex, 3>(t));
        let want = attended(plain::attend::<Flex>(unwrap(q.clone()), buffers()));
        self.agrees(&attended(Flex::attend(unwrap(q.clone()), buffers())), &want);

        // Of 16 bits: the same as over the rounded numbers in 32.
        let cast = |t, dtype| unwrap(wrap::<Flex, 3>(t).cast(dtype));
        let halves = || {
            buffers().into_iter().map(|b| Seen {
                k: cast(b.k, FloatDType::F16),
                v: cast(b.v, FloatDType::F16),
                seen: b.seen,
            })
        };
        let rounded = halves().map(|b| Seen {
            k: cast(b.k, FloatDType::F32),
            v: cast(b.v, FloatDType::F32),
            seen: b.seen,
        });
        let want = attended(plain::attend::<Flex>(unwrap(q.clone()), rounded.collect()));
        self.agrees(&attended(Flex::attend(unwrap(q), halves().collect())), &want);
    }

    fn agrees(&self, got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (got - want).abs() < 2e-5,
                "{self:?}: element {i} is {got} instead of {want}"
            );
        }
    }
}

fn prefix(queries: usize) -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (0..40usize).prop_map(Prefix::All),
        (0..40usize).prop_map(|before| Prefix::Causal { before }),
        (0..=queries, 0..40usize).prop_map(|(queries, rows)| Prefix::First { queries, rows }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (1..40usize, 1..4usize, 1..5usize, 1..36usize, 1..4usize).prop_flat_map(
        |(queries, kv_heads, groups, half_dim, spare)| {
            proptest::collection::vec(prefix(queries), 0..2).prop_map(move |mut buffers| {
                // One that every query sees something of.
                buffers.push(Prefix::Causal { before: spare });
                Case {
                    queries,
                    kv_heads,
                    groups,
                    dim: 2 * half_dim,
                    buffers,
                    spare,
                }
            })
        },
    )
}

/// The kernel's shares of the first buffer against those of the plain operations, and that watching changes no output.
fn shares_agree(case: &Case) {
    let heads = case.kv_heads * case.groups;
    let q = || {
        let scale = (case.dim as f64).powf(-0.5);
        unwrap(noise([case.queries, heads, case.dim], 1).mul_scalar(scale))
    };
    let buffers = || -> Vec<Seen<Flex>> {
        let make = |(i, &seen): (usize, &Prefix)| {
            let used = (0..case.queries).map(|i| seen.rows(i)).max().unwrap_or(0);
            let rows = |seed| unwrap(noise([case.kv_heads, used + case.spare, case.dim], seed));
            let (k, v) = (rows(2 + 2 * i as u64), rows(3 + 2 * i as u64));
            Seen { k, v, seen }
        };
        case.buffers.iter().enumerate().map(make).collect()
    };
    let (out, shares) = Flex::attend_watched(q(), buffers());
    assert_eq!(vec::<3>(wrap(out)), vec::<3>(wrap(Flex::attend(q(), buffers()))));
    let (_, want) = plain::attend_watched::<Flex>(q(), buffers());
    assert_eq!(shares.len(), want.len(), "{case:?}");
    for (i, (got, want)) in shares.iter().zip(&want).enumerate() {
        assert!(
            (got - want).abs() < 1e-4 * want.max(1.0),
            "{i}: {got}, not {want}: {case:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_shares_of_tiled_attention_are_its_weights(case in case()) {
        shares_agree(&case);
    }
}

#[test]
fn shares_across_tiles() {
    let case = |queries, groups, buffers: &[Prefix]| Case {
        queries,
        kv_heads: 2,
        groups,
        dim: 64,
        buffers: buffers.to_vec(),
        spare: 3,
    };
    for rows in [0, 1, 255, 256, 257, 900] {
        shares_agree(&case(1, 3, &[Prefix::All(rows), Prefix::Causal { before: 3 }]));
        shares_agree(&case(100, 3, &[Prefix::All(rows), Prefix::Causal { before: 0 }]));
    }
    shares_agree(&case(300, 1, &[Prefix::Causal { before: 200 }]));
}

proptest! {
    #[test]
    fn tiled_attention_is_attention(case in case()) {
        case.check();
    }
}

#[test]
fn tiled_attention_across_tiles() {
    let case = |queries, kv_heads, groups, buffers: &[Prefix]| Case {
        queries,
        kv_heads,
        groups,
        dim: 64,
        buffers: buffers.to_vec(),
        spare: 3,
    };
    // One token over several shares of keys, of both buffers.
    for rows in [1, 511, 512, 513, 1024, 2000] {
        case(1, 3, 3, &[Prefix::All(rows), Prefix::Causal { before: 700 }]).check();
        case(1, 2, 2, &[Prefix::All(0), Prefix::Causal { before: rows }]).check();
    }
    // The last number of rows without matrix products, and the first with them.
    case(4, 1, 2, &[Prefix::All(600), Prefix::Causal { before: 3 }]).check();
    case(3, 1, 3, &[Prefix::All(600), Prefix::Causal { before: 3 }]).check();
    // Several tiles of queries; some see nothing of the tiles that others see.
    case(300, 2, 3, &[Prefix::All(300), Prefix::Causal { before: 200 }]).check();
    case(300, 1, 1, &[Prefix::Causal { before: 0 }]).check();
    let first = Prefix::First {
        queries: 100,
        rows: 300,
    };
    case(200, 1, 3, &[Prefix::Causal { before: 500 }, first]).check();
    // More heads share a key head than a tile has rows.
    case(2, 1, 300, &[Prefix::Causal { before: 9 }]).check();
}

#[test]
fn what_is_not_a_number_stays_seen() {
    for queries in [1, 20] {
        let q = noise([queries, 2, 8], 1);
        let mut k = vec::<3>(noise([1, 40, 8], 2));
        k[8 * 3] = f32::NAN;
        let k = Tensor::<Flex, 3>::from_data(TensorData::new(k, [1, 40, 8]), &Default::default());
        let seen = Prefix::Causal { before: 10 };
        let buffer = Seen {
            k: unwrap(k),
            v: unwrap(noise([1, 40, 8], 3)),
            seen,
        };
        let out = vec::<3>(wrap(Flex::attend(unwrap(q), vec![buffer])));
        assert!(out.iter().all(|x| x.is_nan()), "{queries} queries: {out:?}");
    }
}

#[test]
fn rows_are_written_where_they_belong_and_into_no_copy_of_another() {
    let (buffer, rows) = (noise([3, 10, 4], 1), noise([3, 2, 4], 2));
    let want = vec::<3>(buffer.clone().slice_assign([0..3, 7..9, 0..4], rows.clone()));
    let before = vec::<3>(buffer.clone());
    // A view, as the heads come from a projection: `[n, heads, dim]`, the first two swapped.
    let view = rows.swap_dims(0, 1).mul_scalar(1.0).swap_dims(0, 1);
    let got = Flex::write_rows(unwrap(buffer.clone()), unwrap(view), 7);
    assert_eq!(vec::<3>(wrap(got)), want);
    assert_eq!(vec::<3>(buffer), before);
}

fn close<const D: usize>(got: Tensor<Flex, D>, want: Tensor<Flex, D>) {
    let (got, want) = (vec(got), vec(want));
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        assert!(
            (got - want).abs() < 2e-5 * want.abs().max(1.0),
            "{got} instead of {want}"
        );
    }
}

proptest! {
    #[test]
    fn layer_norm_is_layer_norm(rows in 1..6usize, width in 1..40usize) {
        let of = |shape, seed| unwrap(noise::<2>(shape, seed));
        let row = |seed| unwrap(noise::<1>([width], seed));
        let want = plain::layer_norm::<Flex>(of([rows, width], 1), row(2), row(3), 1e-3);
        let got = <Flex as Fused>::layer_norm(of([rows, width], 1), row(2), row(3), 1e-3);
        close::<2>(wrap(got), wrap(want));
    }

    #[test]
    fn attention_inside_pages_is_attention(lengths in proptest::collection::vec(1..6usize, 1..4), heads in 1..4usize, dim in 1..9usize) {
        let slots = lengths.iter().copied().max().unwrap_or(1);
        let (pages, width) = (lengths.len(), heads * dim);
        let lengths = Arc::new(PageLengths { slots, lengths });
        let qkv = || [1, 2, 3].map(|seed| unwrap(noise::<2>([pages * slots, width], seed)));
        let want = plain::page_attention::<Flex>(qkv(), heads, &lengths, FloatDType::F32);
        let got = Flex::page_attention(qkv(), heads, &lengths, FloatDType::F32);
        // What stands in the padding is nobody's.
        let rows: Vec<i32> = lengths
            .lengths
            .iter()
            .enumerate()
            .flat_map(|(p, &n)| (0..n).map(move |s| (p * slots + s) as i32))
            .collect();
        let rows = Tensor::<Flex, 1, burn::tensor::Int>::from_data(TensorData::from(rows.as_slice()), &Default::default());
        close::<2>(wrap::<Flex, 2>(got).select(0, rows.clone()), wrap::<Flex, 2>(want).select(0, rows));
    }
}

#[cfg(feature = "train")]
proptest! {
    #[test]
    fn cross_entropy_in_one_pass_is_cross_entropy(
        named in proptest::collection::vec(proptest::collection::vec((0..7usize, 0.0..2f32), 0..4), 1..6),
    ) {
        let mut answers = super::Answers::default();
        for (row, named) in named.iter().enumerate() {
            for &(class, weight) in named {
                answers.rows.push(row);
                answers.classes.push(class);
                answers.weights.push(weight);
            }
        }
        let logits = || unwrap(noise::<2>([named.len(), 7], 5).mul_scalar(3.0));
        let (want_nll, want) = super::cross_entropy::cross_entropy::<Flex>(logits(), &answers);
        let (nll, got) = Flex::cross_entropy(logits(), &answers);
        prop_assert_eq!(nll.len(), want_nll.len());
        for (got, want) in nll.iter().zip(&want_nll) {
            prop_assert!((got - want).abs() < 1e-5 * want.max(1.0), "{} instead of {}", got, want);
        }
        close::<2>(wrap(got), wrap(want));
    }

    #[test]
    fn a_step_of_adamw_is_a_step_of_adamw(n in 1..50usize, time in 1..2000usize, scale in 0.01..2f64, decay in 0.0..0.1f64) {
        let step = super::AdamW { lr: 1e-2, scale, beta_1: 0.9, beta_2: 0.95, epsilon: 1e-8, weight_decay: decay, time };
        let of = |seed| unwrap(noise::<1>([n], seed));
        let second = || unwrap(noise::<1>([n], 4).square());
        let (want, want_moments) = super::update::adamw::<Flex>(of(1), of(2), [of(3), second()], &step);
        let (got, moments) = Flex::adamw(of(1), of(2), [of(3), second()], &step);
        close::<1>(wrap(got), wrap(want));
        for (got, want) in moments.into_iter().zip(want_moments) {
            close::<1>(wrap(got), wrap(want));
        }
        let squares = Flex::squares(&[of(1), of(2)]);
        for (got, want) in squares.iter().zip(super::update::squares::<Flex>(&[of(1), of(2)])) {
            prop_assert!((got - want).abs() < 1e-5 * want, "{} instead of {}", got, want);
        }
        let sum = Flex::sum(vec![of(1), of(2), of(3)]).expect("three terms");
        close::<1>(wrap(sum), wrap::<Flex, 1>(of(1)) + wrap(of(2)) + wrap(of(3)));
    }
}
