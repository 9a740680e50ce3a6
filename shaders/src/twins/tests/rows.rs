//! Embedding, norms, RoPE, folding, pages.

use super::*;
use crate::{add_position, embed_rows, fold_chunk, layer_norm, patchify, rms_norm, rope_kv};

#[test]
fn shards_of_a_table_fill_their_own_rows() {
    // Row r of the table holds r; it lies in shards of rows 0..3 and 3..5.
    let ids = [9u32, 4, 0, 3];
    let shard = |row0: u32, rows: u32, x: Vec<u32>| {
        let table: Vec<f32> = (row0..row0 + rows).flat_map(|r| [r as f32; 4]).collect();
        let params = embed_rows::Params {
            tokens: 3,
            id0: 1,
            k4: 1,
            row0,
            rows,
            ..Default::default()
        };
        let bindings = embed_rows::Bindings {
            weights: words(&table),
            ids: words(&ids),
            x,
        };
        embed_rows::call(Weight::F32, params, bindings)
    };
    let first = play(shard(0, 3, poison(12)), [1, 3, 1]).unwrap().swap_remove(2);
    let half: Vec<f32> = first.chunks(4).map(|row| f32::from_bits(row[0])).collect();
    assert_eq!(half, [POISON, 0.0, POISON]);
    let x = floats(shard(3, 2, first), [1, 3, 1], 2);
    assert_eq!(x, [4.0, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 3.0]);
}

#[test]
fn positions_wrap_around_pages() {
    let params = add_position::Params {
        elements: 3,
        d4: 1,
        rows: 2,
        ..Default::default()
    };
    let bindings = add_position::Bindings {
        position: words(&[1.0f32, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]),
        index: words(&[1u32, 2, 5]),
        x: words(&[0.5f32; 12]),
    };
    let expected = [10.5, 20.5, 30.5, 40.5, 1.5, 2.5, 3.5, 4.5, 10.5, 20.5, 30.5, 40.5];
    assert_eq!(floats(add_position::call(params, bindings), [1, 3, 1], 2), expected);
}

#[test]
fn rms_norm_of_a_row_range() {
    // Rows 1 and 2: mean squares 4 and 1.
    let x = [9.0f32, 9.0, 9.0, 9.0, 2.0, -2.0, 2.0, -2.0, 0.0, 0.0, 0.0, 2.0];
    for (style, grid) in [(Style::Serial, 1), (Style::Plain, 2), (Style::Subgroup, 2)] {
        let params = rms_norm::Params {
            rows: 2,
            row0: 1,
            d4: 1,
            eps: 0.0,
        };
        let bindings = rms_norm::Bindings {
            x: words(&x),
            weight: words(&[1.0f32, 2.0, 3.0, 4.0]),
            y: poison(12),
        };
        let y = floats(rms_norm::call(style, params, bindings), [grid, 1, 1], 2);
        assert_close(&y[..8], &[1.0, -2.0, 3.0, -4.0, 0.0, 0.0, 0.0, 8.0]);
        assert_eq!(y[8..], [POISON; 4], "{style}");
    }
}

#[test]
fn layer_norm_takes_the_mean_away() {
    // Mean 3, variance 4; eps 5 makes the divisor 3.
    let params = layer_norm::Params {
        rows: 1,
        d4: 1,
        eps: 5.0,
        ..Default::default()
    };
    let bindings = layer_norm::Bindings {
        x: words(&[1.0f32, 5.0, 1.0, 5.0]),
        weight: words(&[3.0f32, 3.0, 6.0, 6.0]),
        bias: words(&[0.0f32, 1.0, 0.0, 1.0]),
        y: poison(4),
    };
    let y = floats(layer_norm::call(Style::Serial, params, bindings), [1, 1, 1], 3);
    assert_close(&y, &[-2.0, 3.0, -4.0, 5.0]);
}

/// Two query heads and one key head of four dimensions; two elements from position 1 and KV row 2 on.
fn rope(style: Style, has_norm: u32) -> Vec<Vec<f32>> {
    let params = rope_kv::Params {
        elements: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 4,
        position0: 1,
        kv_row0: 2,
        has_norm,
        eps: 0.0,
    };
    // Position 1 turns pair 0 by 90° and pair 1 not at all; position 2 both by 180°; position 0 is not used.
    let turns = [
        f32::NAN,
        f32::NAN,
        f32::NAN,
        f32::NAN,
        0.0,
        1.0,
        1.0,
        0.0,
        -1.0,
        0.0,
        -1.0,
        0.0,
    ];
    let element = [
        1.0f32, 2.0, 3.0, 4.0, // query head 0
        0.0, 0.0, 0.0, 2.0, // query head 1
        5.0, 5.0, -5.0, 5.0, // key
        6.0, 7.0, 8.0, 9.0, // value
    ];
    let bindings = rope_kv::Bindings {
        qkv: words(&[element, element].concat()),
        rope: words(&turns),
        norms: words(&[1.0f32, 1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 1.0]),
        q: poison(16),
        k: poison(16),
        v: poison(16),
    };
    let heads = match Style::of(rope_kv::kernel(style)) {
        Some(Style::Serial) => 1,
        _ => 4,
    };
    let out = play(rope_kv::call(style, params, bindings), [heads, 2, 1]).unwrap();
    out[3..]
        .iter()
        .map(|words| bytemuck::cast_slice(words).to_vec())
        .collect()
}

#[test]
fn heads_are_turned_and_kv_rows_written() {
    for style in Style::ALL {
        let out = rope(style, 0);
        // Pair i is (x[i], x[i + 2]): 90° makes (a, b) into (-b, a).
        let q = [
            -3.0, 2.0, 1.0, 4.0, 0.0, 0.0, 0.0, 2.0, -1.0, -2.0, -3.0, -4.0, 0.0, 0.0, 0.0, -2.0,
        ];
        assert_close(&out[0], &q);
        assert_eq!(out[1][..8], [POISON; 8]);
        assert_close(&out[1][8..], &[5.0, 5.0, 5.0, 5.0, -5.0, -5.0, 5.0, -5.0]);
        assert_eq!(out[2][..8], [POISON; 8]);
        assert_close(&out[2][8..], &[6.0, 7.0, 8.0, 9.0, 6.0, 7.0, 8.0, 9.0]);
    }
}

#[test]
fn norms_come_before_the_turn_and_leave_values_alone() {
    let out = rope(Style::Plain, 1);
    // Query head 1: rms 1, last weight 2: (0, 0, 0, 4). Key: rms 5, weights 1 3 1 1: (1, 3, -1, 1).
    assert_close(&out[0][4..8], &[0.0, 0.0, 0.0, 4.0]);
    assert_close(&out[1][8..12], &[1.0, 3.0, 1.0, 1.0]);
    assert_close(&out[2][8..12], &[6.0, 7.0, 8.0, 9.0]);
}

#[test]
fn folding_moves_rows_and_nothing_else() {
    let rows = |from_row, to_row| {
        let params = fold_chunk::Params {
            rows: 2,
            from_row,
            to_row,
            stride4: 1,
        };
        let numbered = |base: u32| (0..24).map(|i| base + i).collect::<Vec<u32>>();
        let bindings = fold_chunk::Bindings {
            k: numbered(0),
            v: numbered(100),
        };
        play(fold_chunk::call(params, bindings), [1, 1, 1])
    };
    let out = rows(4, 1).unwrap();
    let mut expected: Vec<u32> = (0..24).collect();
    expected.copy_within(16..24, 4);
    assert_eq!(out[0], expected);
    assert_eq!(out[1], expected.iter().map(|w| w + 100).collect::<Vec<_>>());
    assert!(matches!(rows(2, 1).unwrap_err(), TwinError::Unfit { .. }));
}

#[test]
fn patches_are_cut_from_the_right_page_and_place() {
    // Pages of 4 × 6 pixels, patches of 2 × 3: 2 × 2 a page. Pixel value: 100 · page + 10 · row + column.
    let pixels: Vec<u8> = (0..2u8)
        .flat_map(|page| (0..4u8).flat_map(move |row| (0..6u8).map(move |column| 100 * page + 10 * row + column)))
        .collect();
    let params = patchify::Params {
        patches: 2,
        channels: 2,
        patch_height: 2,
        patch_width: 3,
        image_height: 4,
        image_width: 6,
        ..Default::default()
    };
    let bindings = patchify::Bindings {
        pages: words(&pixels),
        index: words(&[6u32, 1]),
        y: poison(24),
    };
    let y = floats(patchify::call(params, bindings), [1, 2, 1], 2);
    // Patch 6 is page 1, row 1, column 0; patch 1 is page 0, row 0, column 1.
    let gray = |pixels: [u8; 6]| pixels.map(|p| f32::from(p) / 127.5 - 1.0);
    let lower_left = gray([120, 121, 122, 130, 131, 132]);
    let upper_right = gray([3, 4, 5, 13, 14, 15]);
    assert_close(&y, &[lower_left, lower_left, upper_right, upper_right].concat());
}
