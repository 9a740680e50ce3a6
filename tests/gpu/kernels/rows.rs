//! Kernels that go row by row: norms, positions, RoPE with KV rows, moves of KV rows.

use super::values::{Values, poison};
use super::{Launch, check, property};
use folio_shaders::{add_position, fold_chunk, layer_norm, rms_norm, rope_kv};
use proptest::prelude::*;
use proptest::sample::select;

const WIDTHS: [usize; 12] = [1, 2, 3, 5, 16, 31, 33, 63, 64, 65, 129, 144];
const ROWS: [usize; 9] = [1, 2, 3, 7, 8, 9, 17, 33, 65];

#[test]
fn rms_norm_is_its_twin() {
    let strategy = |styles| (styles, select(&WIDTHS[..]), select(&ROWS[..]), 0usize..5, any::<u64>());
    property(
        "rms_norm_is_its_twin",
        48,
        strategy,
        |machine, (style, d4, rows, row0, seed)| {
            let mut values = Values::new(seed);
            let params = rms_norm::Params {
                rows: rows as u32,
                row0: row0 as u32,
                d4: d4 as u32,
                eps: 1e-6,
            };
            let bindings = rms_norm::Bindings {
                x: values.floats((row0 + rows) * 4 * d4),
                weight: values.floats(4 * d4),
                y: poison(rows * 4 * d4),
            };
            let call = rms_norm::call(style, params, bindings);
            let grid = [rows.div_ceil(call.kernel.constant("ROWS") as usize), 1, 1];
            check(machine, &Launch { call, grid }, 1e-5)
        },
    );
}

#[test]
fn layer_norm_is_its_twin() {
    let strategy = |styles| (styles, select(&WIDTHS[..]), select(&ROWS[..]), any::<u64>());
    property(
        "layer_norm_is_its_twin",
        48,
        strategy,
        |machine, (style, d4, rows, seed)| {
            let mut values = Values::new(seed);
            let params = layer_norm::Params {
                rows: rows as u32,
                d4: d4 as u32,
                eps: 1e-6,
                ..Default::default()
            };
            let bindings = layer_norm::Bindings {
                x: values.floats(rows * 4 * d4),
                weight: values.floats(4 * d4),
                bias: values.floats(4 * d4),
                y: poison(rows * 4 * d4),
            };
            let call = layer_norm::call(style, params, bindings);
            let grid = [rows.div_ceil(call.kernel.constant("ROWS") as usize), 1, 1];
            check(machine, &Launch { call, grid }, 1e-5)
        },
    );
}

#[test]
fn add_position_is_its_twin() {
    let strategy = |_| (select(&WIDTHS[..]), select(&ROWS[..]), 1usize..40, any::<u64>());
    property(
        "add_position_is_its_twin",
        24,
        strategy,
        |machine, (d4, elements, rows, seed)| {
            let mut values = Values::new(seed);
            let params = add_position::Params {
                elements: elements as u32,
                d4: d4 as u32,
                rows: rows as u32,
                ..Default::default()
            };
            let bindings = add_position::Bindings {
                position: values.floats(rows * 4 * d4),
                // Patches of several pages.
                index: values.words(elements, 3 * rows as u32),
                x: values.floats(elements * 4 * d4),
            };
            let call = add_position::call(params, bindings);
            check(
                machine,
                &Launch {
                    call,
                    grid: [d4.div_ceil(64), elements, 1],
                },
                1e-6,
            )
        },
    );
}

#[test]
fn rope_kv_is_its_twin() {
    let dims = select(vec![4usize, 8, 12, 20, 32, 60, 64, 68, 128, 132, 256]);
    let strategy = |styles| {
        let heads = (select(vec![1usize, 2, 3, 5, 8]), 1usize..5);
        let places = (0usize..7, 0usize..9);
        (
            styles,
            heads,
            dims.clone(),
            select(vec![1usize, 2, 5, 33]),
            places,
            any::<bool>(),
            any::<u64>(),
        )
    };
    property(
        "rope_kv_is_its_twin",
        64,
        strategy,
        |machine, (style, (group, kv_heads), dim, elements, (position0, row0), norm, seed)| {
            let heads = group * kv_heads;
            let mut values = Values::new(seed);
            let params = rope_kv::Params {
                elements: elements as u32,
                heads: heads as u32,
                kv_heads: kv_heads as u32,
                head_dim: dim as u32,
                position0: position0 as u32,
                kv_row0: row0 as u32,
                has_norm: u32::from(norm),
                eps: 1e-6,
            };
            let kv = (row0 + elements + 2) * kv_heads * dim;
            let bindings = rope_kv::Bindings {
                qkv: values.floats(elements * (heads + 2 * kv_heads) * dim),
                rope: values.floats((position0 + elements) * dim),
                norms: values.floats(2 * dim),
                q: poison(elements * heads * dim),
                k: poison(kv),
                v: poison(kv),
            };
            let call = rope_kv::call(style, params, bindings);
            let grid = [
                (heads + 2 * kv_heads).div_ceil(call.kernel.constant("HEADS") as usize),
                elements,
                1,
            ];
            check(machine, &Launch { call, grid }, 1e-5)
        },
    );
}

#[test]
fn fold_chunk_is_its_twin() {
    let strategy = |_| {
        (
            1usize..40,
            0usize..20,
            0usize..20,
            any::<bool>(),
            select(&WIDTHS[..]),
            any::<u64>(),
        )
    };
    property(
        "fold_chunk_is_its_twin",
        32,
        strategy,
        |machine, (rows, to, gap, down, stride4, seed)| {
            let mut values = Values::new(seed);
            let (low, high) = (to, to + rows + gap);
            let (from_row, to_row) = if down { (high, low) } else { (low, high) };
            let params = fold_chunk::Params {
                rows: rows as u32,
                from_row: from_row as u32,
                to_row: to_row as u32,
                stride4: stride4 as u32,
            };
            let all = (high + rows + 3) * 4 * stride4;
            let bindings = fold_chunk::Bindings {
                k: values.floats(all),
                v: values.floats(all),
            };
            let call = fold_chunk::call(params, bindings);
            // Moved as they are, bit for bit.
            check(
                machine,
                &Launch {
                    call,
                    grid: [(rows * stride4).div_ceil(64), 1, 1],
                },
                0.0,
            )
        },
    );
}
