use half::f16;

use super::super::weights::value;
use super::*;

/// Every value of a matrix.
fn all(weight: Weight, words: &[u32], scales: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| value(weight, words, scales, i).unwrap()).collect()
}

fn scale_pair(low: f32, high: f32) -> u32 {
    u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16
}

#[test]
fn f32_f16_and_bf16() {
    assert_eq!(all(Weight::F32, &words(&[1.5f32, -2.0]), 0, 2), [1.5, -2.0]);
    // 1, -2; 65504 (the largest), 2^-24 (the smallest).
    let packed = [0xc000_3c00, 0x0001_7bff];
    assert_eq!(
        all(Weight::F16, &packed, 0, 4),
        [1.0, -2.0, 65504.0, 1.0 / 16_777_216.0]
    );
    // 1, -2; the largest, and the smallest that is not 0 (half crate's own constants).
    let packed = [0xc000_3f80, 0x0001_7f7f];
    assert_eq!(
        all(Weight::Bf16, &packed, 0, 4),
        [
            1.0,
            -2.0,
            half::bf16::MAX.to_f32(),
            half::bf16::MIN_POSITIVE_SUBNORMAL.to_f32()
        ]
    );
}

/// GGUF's q8_0: blocks of an f16 scale and 32 signed bytes. Two blocks, taken apart as at upload.
#[test]
fn q8_0_holds_ggufs_values() {
    let blocks: [(f32, Vec<i8>); 2] = [(0.5, (-16..16).collect()), (-2.0, (96..=127).collect())];
    let bytes: Vec<i8> = blocks.iter().flat_map(|(_, q)| q.clone()).collect();
    let mut matrix = words(&bytes);
    assert_eq!(matrix[0], 0xf3f2_f1f0, "the first value in the low byte");
    let scales = matrix.len();
    matrix.push(scale_pair(0.5, -2.0));
    let expected: Vec<f32> = blocks
        .iter()
        .flat_map(|(d, q)| q.iter().map(move |q| d * f32::from(*q)))
        .collect();
    assert_eq!(all(Weight::Q8_0, &matrix, scales, 64), expected);
}

/// GGUF's q4_0: an f16 scale and 16 bytes; byte j holds value j in its low half and value j + 16 in its high half.
#[test]
fn q4_0_holds_ggufs_values() {
    let scales = [0.25f32, 3.0, -1.0];
    let blocks: Vec<[u8; 16]> = (0..3u8)
        .map(|b| std::array::from_fn(|j| (j as u8).wrapping_mul(37).wrapping_add(b * 11)))
        .collect();
    let mut expected = Vec::new();
    let mut nibbles = Vec::new();
    for (d, block) in scales.iter().zip(&blocks) {
        let low = block.iter().map(|b| b & 15);
        let high = block.iter().map(|b| b >> 4);
        for q in low.chain(high) {
            nibbles.push(u32::from(q));
            expected.push((f32::from(q) - 8.0) * d);
        }
    }
    let mut matrix: Vec<u32> = nibbles
        .chunks(8)
        .map(|eight| eight.iter().rev().fold(0, |word, q| word << 4 | q))
        .collect();
    let from = matrix.len();
    matrix.extend([scale_pair(scales[0], scales[1]), scale_pair(scales[2], 0.0)]);
    assert_eq!(all(Weight::Q4_0, &matrix, from, 96), expected);
}

#[test]
fn outside_there_is_nothing() {
    for weight in Weight::ALL {
        assert_eq!(value(weight, &[], 0, 0), None, "{weight}");
    }
    // Quants without scales.
    assert_eq!(value(Weight::Q8_0, &[0; 8], 8, 0), None);
    assert_eq!(value(Weight::Q4_0, &[0; 4], 5, 0), None);
}
