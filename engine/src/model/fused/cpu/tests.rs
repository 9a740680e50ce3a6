//! Every kernel's gradient against finite differences of the kernel, and attention against its definition.

use super::*;
use crate::model::{AttentionPlan, PageLengths};

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Asserts that `gradient` is that of `Σ f(x) · dy`, where `dy` is what the kernel was given.
fn check(x: &[f32], gradient: &[f32], dy: &[f32], f: impl Fn(&[f32]) -> Vec<f32>) {
    let loss = |x: &[f32]| -> f64 { f(x).iter().zip(dy).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum() };
    const STEP: f32 = 4e-3;
    for i in 0..x.len() {
        let (mut above, mut below) = (x.to_vec(), x.to_vec());
        above[i] += STEP;
        below[i] -= STEP;
        let slope = (loss(&above) - loss(&below)) / f64::from(2.0 * STEP);
        let error = (slope - f64::from(gradient[i])).abs();
        assert!(
            error < 2e-3 * (1.0 + slope.abs()),
            "element {i}: {} instead of {slope}",
            gradient[i]
        );
    }
}

#[test]
fn pointwise_gradients_are_slopes() {
    let (x, u, dy, w) = (noise(24, 1), noise(24, 2), noise(24, 3), noise(8, 4));
    let (_, inverse) = rms_norm(&x, &w, 1e-6);
    let (dx, dw) = rms_norm_backward(&x, &w, &inverse, &dy);
    check(&x, &dx, &dy, |x| rms_norm(x, &w, 1e-6).0);
    check(&w, &dw, &dy, |w| rms_norm(&x, w, 1e-6).0);
    let (dg, du) = swiglu_backward(&x, &u, &dy);
    check(&x, &dg, &dy, |x| swiglu(x, &u));
    check(&u, &du, &dy, |u| swiglu(&x, u));
    check(&x, &gelu_tanh_backward(&x, &dy), &dy, gelu_tanh);
    let angles = noise(6, 5);
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| (a.cos(), a.sin())).unzip();
    // 3 rows of 2 heads of 4.
    check(&x, &rotate(&dy, &cos, &sin, [2, 2], -1.0), &dy, |x| {
        rotate(x, &cos, &sin, [2, 2], 1.0)
    });
}

#[test]
fn gradients_of_linear_layers_and_layer_norm_are_slopes() {
    let (x, w, b, dy) = (noise(15, 1), noise(20, 2), noise(4, 3), noise(12, 4));
    let sizes = [3, 5, 4];
    let of = |x: &[f32], w: &[f32], b: &[f32]| linear(x, Source::F32(w), Some(b), sizes);
    check(&x, &linear_backward_x(&dy, Source::F32(&w), sizes), &dy, |x| {
        of(x, &w, &b)
    });
    check(&w, &linear_backward_w(&dy, &x, sizes, false), &dy, |w| of(&x, w, &b));
    check(&b, &column_sums(&dy, 4), &dy, |b| of(&x, &w, b));
    let without: Vec<f32> = of(&x, &w, &[0.0; 4]);
    assert_eq!(linear(&x, Source::F32(&w), None, sizes), without);

    let (x, w, b, dy) = (noise(24, 5), noise(8, 6), noise(8, 7), noise(24, 8));
    let (_, moments) = layer_norm(&x, &w, &b, 1e-6);
    let [dx, dw, db] = layer_norm_backward(&x, &w, &moments, &dy);
    check(&x, &dx, &dy, |x| layer_norm(x, &w, &b, 1e-6).0);
    check(&w, &dw, &dy, |w| layer_norm(&x, w, &b, 1e-6).0);
    check(&b, &db, &dy, |b| layer_norm(&x, &w, b, 1e-6).0);
}

#[test]
fn page_attention_gradients_are_slopes() {
    let lengths = PageLengths {
        slots: 4,
        lengths: vec![4, 1, 3],
    };
    let (heads, n) = ([2, 3], 12 * 6);
    let (q, k, v, dy) = (noise(n, 1), noise(n, 2), noise(n, 3), noise(n, 4));
    let (_, weights) = page_attention([&q, &k, &v], heads, &lengths);
    let [dq, dk, dv] = page_attention_backward([&q, &k, &v], &weights, &dy, heads, &lengths);
    check(&q, &dq, &dy, |q| page_attention([q, &k, &v], heads, &lengths).0);
    check(&k, &dk, &dy, |k| page_attention([&q, k, &v], heads, &lengths).0);
    check(&v, &dv, &dy, |v| page_attention([&q, &k, v], heads, &lengths).0);
}

fn plan() -> AttentionPlan {
    // Two documents; the second has one chunk less than there is room for.
    AttentionPlan {
        documents: 2,
        memory: 3,
        chunks: 2,
        chunk_len: 2,
        seen: vec![1, 3, 2, 0],
        lower: Vec::new(),
        open_lower: Vec::new(),
        texts: Vec::new(),
    }
}

/// As a sliding window leaves it: the oldest slots are gone for those that come later.
fn windowed() -> AttentionPlan {
    AttentionPlan {
        documents: 2,
        memory: 7,
        chunks: 1,
        chunk_len: 2,
        seen: vec![7, 5],
        lower: vec![0, 0, 1, 1, 1, 4, 6, 0, 0, 0, 2, 2, 2, 2],
        open_lower: vec![6, 5],
        texts: Vec::new(),
    }
}

/// Pages that see the text that they replace; the second document's chunk is shorter than there is room for.
fn seeing_text() -> AttentionPlan {
    AttentionPlan {
        documents: 2,
        memory: 5,
        chunks: 2,
        chunk_len: 3,
        seen: vec![1, 3, 1, 4],
        lower: Vec::new(),
        open_lower: Vec::new(),
        texts: vec![0..0, 0..3, 0..3, 3..6, 3..6, 0..0, 0..2, 0..2, 0..2, 0..0],
    }
}

/// As [`seeing_text`], but most see less than the last of their page.
fn seeing_less_text() -> AttentionPlan {
    AttentionPlan {
        texts: vec![0..0, 0..1, 0..3, 3..5, 3..6, 0..0, 0..1, 0..1, 0..2, 0..0],
        ..seeing_text()
    }
}

/// Longer than what is computed at once.
fn long() -> AttentionPlan {
    AttentionPlan {
        documents: 1,
        memory: 600,
        chunks: 0,
        chunk_len: 0,
        seen: Vec::new(),
        lower: (0..600).map(|m| if m < 300 { 0 } else { 7 }).collect(),
        open_lower: Vec::new(),
        texts: Vec::new(),
    }
}

const HEADS: Heads = Heads {
    query: 4,
    key: 2,
    dim: 3,
};

#[test]
fn attention_is_softmax_over_what_is_seen() {
    for plan in [plan(), windowed(), long(), seeing_text(), seeing_less_text()] {
        is_softmax(&plan);
    }
}

fn is_softmax(plan: &AttentionPlan) {
    let size = plan.memory + plan.chunks * plan.chunk_len;
    let rows = plan.documents * size;
    let (q, k, v) = (noise(rows * 12, 1), noise(rows * 6, 2), noise(rows * 6, 3));
    let (out, _) = attention(&q, &k, &v, HEADS, plan, false);
    for row in 0..rows {
        let (d, s) = (row / size, row % size);
        let keys: Vec<usize> = if s < plan.memory {
            let text = plan.text(d, s).map(|r| plan.memory + r);
            (plan.lower(d, s)..=s).chain(text).collect()
        } else {
            let (c, j) = ((s - plan.memory) / plan.chunk_len, (s - plan.memory) % plan.chunk_len);
            let start = plan.memory + c * plan.chunk_len;
            plan.seen(d, c).chain(start..=start + j).collect()
        };
        for head in 0..HEADS.query {
            let at = |r: usize| (d * size + r) * 6 + head / 2 * 3;
            let query = &q[row * 12 + head * 3..][..3];
            let scores: Vec<f64> = keys
                .iter()
                .map(|&r| {
                    query
                        .iter()
                        .zip(&k[at(r)..at(r) + 3])
                        .map(|(a, b)| f64::from(a * b))
                        .sum::<f64>()
                        .exp()
                })
                .collect();
            let sum: f64 = scores.iter().sum();
            for i in 0..3 {
                let want: f64 = keys
                    .iter()
                    .zip(&scores)
                    .map(|(&r, s)| s * f64::from(v[at(r) + i]))
                    .sum::<f64>()
                    / sum;
                let got = f64::from(out[row * 12 + head * 3 + i]);
                assert!(
                    (got - want).abs() < 1e-5,
                    "row {row} head {head}: {got} instead of {want}"
                );
            }
        }
    }
}

#[test]
fn attention_gradients_are_slopes() {
    for plan in [plan(), windowed(), seeing_text(), seeing_less_text()] {
        let rows = plan.documents * (plan.memory + plan.chunks * plan.chunk_len);
        let (q, k, v, dy) = (
            noise(rows * 12, 1),
            noise(rows * 6, 2),
            noise(rows * 6, 3),
            noise(rows * 12, 4),
        );
        let (_, weights) = attention(&q, &k, &v, HEADS, &plan, false);
        let [dq, dk, dv] = attention_backward([&q, &k, &v], &weights, &dy, HEADS, &plan, false);
        check(&q, &dq, &dy, |q| attention(q, &k, &v, HEADS, &plan, false).0);
        check(&k, &dk, &dy, |k| attention(&q, k, &v, HEADS, &plan, false).0);
        check(&v, &dv, &dy, |v| attention(&q, &k, v, HEADS, &plan, false).0);
    }
}

/// Heads and chunks of the sizes of real ones: small products are never rounded.
#[test]
fn rounded_attention_is_nearly_the_same() {
    let heads = Heads {
        query: 4,
        key: 2,
        dim: 64,
    };
    let plan = AttentionPlan {
        documents: 2,
        memory: 96,
        chunks: 3,
        chunk_len: 40,
        seen: vec![0, 32, 96, 0, 32, 64],
        lower: Vec::new(),
        open_lower: Vec::new(),
        texts: Vec::new(),
    };
    let rows = plan.documents * (plan.memory + plan.chunks * plan.chunk_len);
    let (q, k, v, dy) = (
        noise(rows * 256, 1),
        noise(rows * 128, 2),
        noise(rows * 128, 3),
        noise(rows * 256, 4),
    );
    let [exact, rounded] = [false, true].map(|rounded| {
        let (y, weights) = attention(&q, &k, &v, heads, &plan, rounded);
        let [dq, dk, dv] = attention_backward([&q, &k, &v], &weights, &dy, heads, &plan, rounded);
        [y, dq, dk, dv]
    });
    for (what, (exact, rounded)) in ["y", "dq", "dk", "dv"].iter().zip(exact.iter().zip(&rounded)) {
        let square = |x: &dyn Fn(usize) -> f32| (0..exact.len()).map(|i| f64::from(x(i)).powi(2)).sum::<f64>();
        let apart = square(&|i| exact[i] - rounded[i]) / square(&|i| exact[i]);
        // Eight bits: a product is off by a few thousandths.
        assert!(apart.sqrt() < 0.01, "{what}: {}", apart.sqrt());
    }
}

/// Parts of a product go to whoever is idle: what comes out must not tell.
#[test]
fn products_are_the_same_bits_on_any_number_of_threads() {
    let numbers = |n: usize, seed: usize| -> Vec<f32> {
        (0..n)
            .map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 999.0 - 1.0)
            .collect()
    };
    let sizes = [700, 320, 390];
    let (x, w) = (numbers(700 * 320, 1), numbers(390 * 320, 2));
    let (b, dy) = (numbers(390, 3), numbers(700 * 390, 4));
    let rounded = in_bf16(&w);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            [Source::F32(&w), Source::Bf16(&rounded)].map(|w| {
                let half = matches!(w, Source::Bf16(_));
                [
                    linear(&x, w, None, sizes),
                    linear(&x, w, Some(&b), sizes),
                    linear_backward_x(&dy, w, sizes),
                    linear_backward_w(&dy, &x, sizes, half),
                ]
            })
        })
    };
    let alone = on(1);
    // Several times: who takes what is never the same.
    for _ in 0..5 {
        assert!(alone == on(3));
    }
    // And they are products: halves are near whole numbers' ones.
    for (whole, half) in alone[0].iter().zip(&alone[1]) {
        let apart: f32 = whole.iter().zip(half).map(|(a, b)| (a - b).powi(2)).sum();
        let size: f32 = whole.iter().map(|a| a.powi(2)).sum();
        assert!(apart > 0.0 && apart.sqrt() < 0.01 * size.sqrt(), "{apart} {size}");
    }
}
