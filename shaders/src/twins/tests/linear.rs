use super::*;
use crate::{mat_mul, mat_vec};
use proptest::prelude::*;

/// Four outputs of four inputs, in words.
fn matrix() -> Vec<u32> {
    words(&[
        1.0f32, 2.0, 3.0, 4.0, //
        0.0, 1.0, 0.0, -1.0, //
        -1.0, -1.0, -1.0, -1.0, //
        0.5, 0.0, 0.0, 0.0,
    ])
}

fn vec_call(form: Form, params: mat_vec::Params, x: &[f32], y: Vec<u32>) -> Call<Vec<u32>> {
    let bindings = mat_vec::Bindings {
        weights: matrix(),
        x: words(x),
        bias: words(&[10.0f32, 20.0, 30.0, 40.0]),
        y,
    };
    mat_vec::call(Weight::F32, form, Style::Plain, params, bindings)
}

fn params(rows: u32) -> mat_vec::Params {
    mat_vec::Params {
        rows,
        k4: 1,
        y_stride: rows,
        out_scale: 1.0,
        ..Default::default()
    }
}

const X: [f32; 8] = [1.0, 1.0, 1.0, 1.0, 2.0, 0.0, 1.0, 0.0];

#[test]
fn rows_of_x_times_the_matrix() {
    let call = vec_call(Form::Linear, params(4), &X, poison(8));
    assert_eq!(floats(call, [1, 2, 1], 3), [10.0, 0.0, -4.0, 0.5, 5.0, 0.0, -3.0, 1.0]);
}

#[test]
fn bias_scale_sum_and_the_place_in_y() {
    let params = mat_vec::Params {
        row0: 1,
        y_stride: 3,
        has_bias: 1,
        accumulate: 1,
        out_scale: 2.0,
        ..params(2)
    };
    let call = vec_call(Form::Linear, params, &X, words(&[7.0f32, 100.0, 200.0, 7.0, 0.0, 0.0]));
    // (W x + bias of the place) · 2, added to y[1..3].
    let expected = [
        7.0,
        100.0 + 2.0 * (10.0 + 20.0),
        200.0 + 2.0 * 30.0,
        7.0,
        2.0 * 25.0,
        2.0 * 30.0,
    ];
    assert_eq!(floats(call, [1, 2, 1], 3), expected);
}

#[test]
fn activations() {
    // x = 1, from published tables: gelu (tanh) 0.841192, gelu 0.841345, tanh 0.761594.
    for (activation, expected) in [(0, 1.0), (1, 0.841_192), (2, 0.841_345), (3, 0.761_594)] {
        let params = mat_vec::Params {
            activation,
            out_scale: 3.0,
            ..params(1)
        };
        let call = vec_call(Form::Linear, params, &[1.0, 0.0, 0.0, 0.0], poison(1));
        assert_close(&floats(call, [1, 1, 1], 3), &[3.0 * expected]);
    }
    let params = mat_vec::Params {
        activation: 4,
        ..params(1)
    };
    play(vec_call(Form::Linear, params, &X, poison(1)), [1, 1, 1]).unwrap_err();
}

#[test]
fn gated_takes_the_second_half_as_up() {
    // Gates 10 and 0, ups -4 and 0.5: silu(10) · -4 and 0.
    let call = vec_call(Form::Gated, params(2), &X[..4], poison(2));
    let silu = 10.0 / (1.0 + (-10.0f32).exp());
    assert_close(&floats(call, [1, 1, 1], 3), &[silu * -4.0, 0.0]);
}

#[test]
fn a_grid_that_is_too_small_leaves_rows_out() {
    let kernel = mat_vec::kernel(Weight::F32, Form::Linear, Style::Plain);
    let rows = kernel.constant("ROWS") + 1;
    let bindings = mat_vec::Bindings {
        weights: vec![0; 4 * rows as usize],
        x: words(&X),
        bias: vec![0],
        y: poison(rows as usize),
    };
    let call = mat_vec::call(Weight::F32, Form::Linear, Style::Plain, params(rows), bindings);
    let y = floats(call, [1, 1, 1], 3);
    assert_eq!((y[rows as usize - 2], y[rows as usize - 1]), (0.0, POISON), "{y:?}");
}

/// A random matrix of a kind of weight: words and place of the scales.
fn random(weight: Weight, values: usize, seed: u32) -> (Vec<u32>, u32) {
    let f16s = |count: usize, seed| -> Vec<u32> {
        let halves: Vec<half::f16> = numbers(2 * count, seed).into_iter().map(half::f16::from_f32).collect();
        words(&halves)
    };
    let bits = |count: usize| -> Vec<u32> {
        numbers(count, seed)
            .iter()
            .map(|x| (x.to_bits() << 9) ^ x.to_bits())
            .collect()
    };
    let mut matrix = match weight {
        Weight::F32 => return (words(&numbers(values, seed)), 0),
        Weight::F16 => return (f16s(values / 2, seed), 0),
        Weight::Bf16 => {
            let halves = numbers(values, seed).into_iter().map(half::bf16::from_f32);
            return (words(&halves.collect::<Vec<_>>()), 0);
        }
        Weight::Q8_0 => bits(values / 4),
        Weight::Q4_0 => bits(values / 8),
    };
    let scales = matrix.len() as u32;
    matrix.extend(f16s(values / 32, seed + 1));
    (matrix, scales)
}

proptest! {
    /// The two layers are one function, whatever the shape, weights, form and style.
    #[test]
    fn mat_mul_is_mat_vec(rows in 1..70u32, tokens in 1..20u32, k in 1..4u32, w in 0..Weight::ALL.len(), gated: bool, s in 0..Style::ALL.len()) {
        let (weight, style) = (Weight::ALL[w], Style::ALL[s]);
        let form = if gated { Form::Gated } else { Form::Linear };
        let (k4, matrix_rows) = (8 * k, if gated { 2 * rows } else { rows });
        let (weights, scales) = random(weight, (matrix_rows * 4 * k4) as usize, rows);
        let x = words(&numbers((tokens * 4 * k4) as usize, 7));
        let bias = words(&numbers(rows as usize, 8));
        let y = poison((rows * tokens) as usize);
        let vec = mat_vec::call(weight, form, style,
            mat_vec::Params { rows, k4, y_stride: rows, scales, has_bias: 1, activation: 1, out_scale: 0.5, ..Default::default() },
            mat_vec::Bindings { weights: weights.clone(), x: x.clone(), bias: bias.clone(), y: y.clone() });
        let mul = mat_mul::call(weight, form, style,
            mat_mul::Params { tokens, rows, k4, y_stride: rows, scales, has_bias: 1, activation: 1, out_scale: 0.5, ..Default::default() },
            mat_mul::Bindings { weights, x, bias, y });
        let per_vec = vec.kernel.constant("ROWS");
        let (per_row, per_token) = (mul.kernel.constant("ROWS"), mul.kernel.constant("TOKENS"));
        let a = floats(vec, [rows.div_ceil(per_vec), tokens, 1], 3);
        let b = floats(mul, [rows.div_ceil(per_row), tokens.div_ceil(per_token), 1], 3);
        prop_assert_eq!(&a, &b);
        prop_assert!(!a.contains(&POISON));
    }
}
