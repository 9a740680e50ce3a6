//! `mat_vec`, `mat_mul`, `embed_rows`.

use super::values::{Values, poison};
use super::{Launch, check, property};
use folio_shaders::{Form, Style, Weight, embed_rows, mat_mul, mat_vec};
use proptest::prelude::*;
use proptest::sample::select;

const SIZES: [usize; 12] = [1, 2, 3, 5, 8, 31, 33, 63, 64, 65, 100, 129];

#[derive(Debug, Clone)]
struct Case {
    style: Style,
    weight: Weight,
    form: Form,
    rows: usize,
    /// Rows of other shards before and after these.
    others: (usize, usize),
    inputs: usize,
    tokens: usize,
    bias: bool,
    accumulate: bool,
    activation: u32,
    scale: f32,
    seed: u64,
}

fn weights() -> impl Strategy<Value = Weight> {
    select(Weight::ALL.to_vec())
}

fn inputs(weight: Weight) -> BoxedStrategy<usize> {
    match weight {
        Weight::F32 | Weight::F16 | Weight::Bf16 => select(SIZES.as_slice()).prop_map(|n| 4 * n).boxed(),
        _ => select(vec![1usize, 2, 3, 5, 8, 9, 17]).prop_map(|n| 32 * n).boxed(),
    }
}

fn cases(styles: BoxedStrategy<Style>, tokens: BoxedStrategy<usize>) -> impl Strategy<Value = Case> {
    let shape = weights().prop_flat_map(|weight| (Just(weight), inputs(weight)));
    let size = (select(SIZES.as_slice()), 0usize..9, 0usize..9, tokens);
    let ends = (any::<bool>(), any::<bool>(), 0u32..4, -2.0f32..2.0);
    (
        styles,
        shape,
        select(vec![Form::Linear, Form::Gated]),
        size,
        ends,
        any::<u64>(),
    )
        .prop_map(
            |(
                style,
                (weight, inputs),
                form,
                (rows, before, after, tokens),
                (bias, accumulate, activation, scale),
                seed,
            )| Case {
                style,
                weight,
                form,
                rows,
                others: (before, after),
                inputs,
                tokens,
                // The gated form has no such ends.
                bias: bias && form == Form::Linear,
                accumulate: accumulate && form == Form::Linear,
                activation: if form == Form::Linear { activation } else { 0 },
                scale: if form == Form::Linear { scale } else { 1.0 },
                seed,
            },
        )
}

/// A call of either kernel: they have the same params and bindings, but for the number of tokens.
macro_rules! launch {
    ($kernel:ident, $case:expr $(, $field:ident)?) => {{
        let case: &Case = $case;
        let mut values = Values::new(case.seed);
        let (before, after) = case.others;
        let outputs = before + case.rows + after;
        let together = if case.form == Form::Gated { 2 } else { 1 };
        let (weights, scales) = values.matrix(case.weight, case.rows * together, case.inputs);
        let params = $kernel::Params {
            $($field: case.tokens as u32,)?
            rows: case.rows as u32,
            row0: before as u32,
            k4: (case.inputs / 4) as u32,
            y_stride: outputs as u32,
            scales,
            has_bias: u32::from(case.bias),
            accumulate: u32::from(case.accumulate),
            activation: case.activation,
            out_scale: case.scale,
            ..Default::default()
        };
        let y = case.tokens * outputs;
        let bindings = $kernel::Bindings {
            weights,
            x: values.floats(case.tokens * case.inputs),
            bias: values.floats(outputs),
            y: if case.accumulate { values.floats(y) } else { poison(y) },
        };
        $kernel::call(case.weight, case.form, case.style, params, bindings)
    }};
}

#[test]
fn mat_vec_is_its_twin() {
    let tokens = || (1usize..6).boxed();
    property(
        "mat_vec_is_its_twin",
        96,
        |styles| cases(styles, tokens()),
        |machine, case| {
            let call = launch!(mat_vec, &case);
            let per_group = call.kernel.constant("ROWS") as usize;
            let grid = [case.rows.div_ceil(per_group), case.tokens, 1];
            check(machine, &Launch { call, grid }, 2e-5)
        },
    );
}

#[test]
fn mat_mul_is_its_twin() {
    let tokens = || select(vec![1usize, 2, 5, 7, 8, 9, 31, 33, 63, 64, 65, 70]).boxed();
    property(
        "mat_mul_is_its_twin",
        96,
        |styles| cases(styles, tokens()),
        |machine, case| {
            let call = launch!(mat_mul, &case, tokens);
            let [rows, tokens] = ["ROWS", "TOKENS"].map(|name| call.kernel.constant(name) as usize);
            let grid = [case.rows.div_ceil(rows), case.tokens.div_ceil(tokens), 1];
            check(machine, &Launch { call, grid }, 2e-5)
        },
    );
}

#[test]
fn embed_rows_is_its_twin() {
    let strategy = |_| {
        let shape = weights().prop_flat_map(|weight| (Just(weight), inputs(weight)));
        (
            shape,
            1usize..40,
            0u32..30,
            select(vec![1usize, 3, 5, 33, 70]),
            0usize..4,
            any::<u64>(),
        )
    };
    property(
        "embed_rows_is_its_twin",
        48,
        strategy,
        |machine, ((weight, inputs), rows, row0, tokens, id0, seed)| {
            let mut values = Values::new(seed);
            let (weights, scales) = values.matrix(weight, rows, inputs);
            let params = embed_rows::Params {
                tokens: tokens as u32,
                id0: id0 as u32,
                k4: (inputs / 4) as u32,
                row0,
                rows: rows as u32,
                scales,
                ..Default::default()
            };
            let bindings = embed_rows::Bindings {
                weights,
                // Some ids belong to other shards: those rows are left alone.
                ids: values.words(id0 + tokens, row0 + rows as u32 + 9),
                x: poison(tokens * inputs),
            };
            let call = embed_rows::call(weight, params, bindings);
            let grid = [(inputs / 4).div_ceil(64), tokens, 1];
            check(machine, &Launch { call, grid }, 1e-6)
        },
    );
}
