//! Both formats against their definitions: blocks by hand, error bounds, stability.

use super::{VALUES, q4_0, q4_1, q4_k, q5_0, q6_k, q8_0, scale};
use half::f16;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn block(start: &[f32]) -> [f32; VALUES] {
    let mut values = [0.0; VALUES];
    values[..start.len()].copy_from_slice(start);
    values
}

#[test]
fn q8_0_by_hand() {
    // The largest is 254, so d = 2 (f16 0x4000). 3/2 and −5/2 are halves: away from zero.
    let mut values = block(&[254.0, -254.0, 3.0, -5.0, 0.9, 1.1]);
    values[31] = -2.0;
    let bytes = q8_0::quantise(&values);
    assert_eq!(bytes[..8], [0x00, 0x40, 127, 129, 2, 253, 0, 1]);
    assert_eq!(bytes[33], 255);
    assert!(bytes[8..33].iter().all(|b| *b == 0));
    assert_eq!(q8_0::dequantise(&bytes)[..6], [254.0, -254.0, 4.0, -6.0, 0.0, 2.0]);
    assert_eq!(q8_0::dequantise(&bytes)[31], -2.0);
}

#[test]
fn q4_0_by_hand() {
    // The largest magnitude is −16, so d = 2 and it is nibble 0; 16 would be nibble 16 and is clamped to 15.
    let mut values = block(&[-16.0, 16.0, 3.0, -3.0]);
    values[16] = 14.0;
    values[31] = -2.0;
    let bytes = q4_0::quantise(&values);
    // Low nibbles: 0, 15, 1.5 + 8.5 = 10, −1.5 + 8.5 = 7, then 8 for zero. High: 15, …, 7.
    assert_eq!(bytes[..7], [0x00, 0x40, 0xf0, 0x8f, 0x8a, 0x87, 0x88]);
    assert_eq!(bytes[17], 0x78);
    let back = q4_0::dequantise(&bytes);
    assert_eq!(back[..5], [-16.0, 14.0, 4.0, -2.0, 0.0]);
    assert_eq!((back[16], back[31]), (14.0, -2.0));
    // A positive one makes d negative, and the first of equal magnitudes decides.
    let bytes = q4_0::quantise(&block(&[16.0, -16.0]));
    assert_eq!(bytes[..4], [0x00, 0xc0, 0x80, 0x8f]);
    assert_eq!(q4_0::dequantise(&bytes)[..3], [16.0, -14.0, 0.0]);
}

#[test]
fn blocks_of_nothing_and_of_extremes() {
    // ggml's id is 0 then, so q4_0's nibbles stay at 8. −0/−8 is +0.
    assert_eq!(q8_0::quantise(&block(&[])), [0; 34]);
    assert_eq!(q4_0::quantise(&block(&[]))[2..], [0x88; 16]);
    assert_eq!(q4_0::dequantise(&q4_0::quantise(&block(&[]))), block(&[]));
    // Below f16's smallest step the scale is 0, and so is every value; 1/d may be infinite on the way.
    for tiny in [f32::from_bits(1), f32::MIN_POSITIVE, 1e-9] {
        assert!(
            q8_0::dequantise(&q8_0::quantise(&block(&[tiny, -tiny])))
                .iter()
                .all(|v| *v == 0.0)
        );
        assert!(
            q4_0::dequantise(&q4_0::quantise(&block(&[tiny, -tiny])))
                .iter()
                .all(|v| *v == 0.0)
        );
    }
    // What the scale cannot hold shows in the scale.
    assert_eq!(scale(&q8_0::quantise(&block(&[127.0 * 65504.0]))), f16::MAX);
    assert_eq!(scale(&q4_0::quantise(&block(&[-8.0 * 65504.0]))), f16::MAX);
    assert!(scale(&q8_0::quantise(&block(&[1e8]))).is_infinite());
    assert!(scale(&q4_0::quantise(&block(&[f32::MAX]))).is_infinite());
}

/// The same bytes as the quantiser of ggml's own Python package gives for these values (gguf 0.19.0):
///
/// ```python
/// i = np.arange(32 * 1024, dtype=np.uint64)
/// x = (i * 2654435761 % 2**32).astype(np.uint32).view(np.int32).astype(np.float32) * np.float32(2) ** -31
/// x = x * np.exp2((i // 32 % 24).astype(np.float32) - 16)
/// hashlib.sha256(gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0).tobytes()).hexdigest()
/// ```
#[test]
fn bytes_are_those_of_ggml() {
    let values: Vec<f32> = (0u32..32 * 1024)
        .map(|i| i.wrapping_mul(2_654_435_761) as i32 as f32 * 2f32.powi((i / 32 % 24) as i32 - 16 - 31))
        .collect();
    let (mut q8, mut q4) = (Sha256::new(), Sha256::new());
    for block in values.as_chunks().0 {
        q8.update(q8_0::quantise(block));
        q4.update(q4_0::quantise(block));
    }
    let hex = |hash: Sha256| hash.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(
        hex(q8),
        "47283ba12c0bbd853c459d7a92b8ef90dd7156ff235830aea65898c2c1e641eb"
    );
    assert_eq!(
        hex(q4),
        "1ff11fafabf4089dfd271a2b580559757a16b1059a26dea856994e8df94c8354"
    );
}

/// The same values as the dequantiser of ggml's own Python package gives for these bytes (gguf 0.19.0), scales at `at`:
///
/// ```python
/// i = np.arange(512 * size, dtype=np.uint64)
/// b = ((i * 2654435761 % 2**32) >> 24).astype(np.uint8).reshape(512, size)
/// for k, at in enumerate(scales):
///     n = np.arange(512, dtype=np.uint32)
///     s = (0x1400 + (n * 37 + k * 11) % 0x1000 + 0x8000 * (n % 2)).astype('<u2')
///     b[:, at:at + 2] = s.view(np.uint8).reshape(512, 2)
/// hashlib.sha256(gguf.quants.dequantize(b, type).astype('<f4').tobytes()).hexdigest()
/// ```
#[test]
fn values_are_those_of_ggml() {
    fn hash<const N: usize, const V: usize>(at: &[usize], dequantise: fn(&[u8; N]) -> [f32; V]) -> String {
        let mut hash = Sha256::new();
        for n in 0..512usize {
            let mut block = [0; N];
            for (i, byte) in block.iter_mut().enumerate() {
                *byte = (((n * N + i) as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
            }
            for (k, at) in at.iter().enumerate() {
                let scale = 0x1400 + (n * 37 + k * 11) % 0x1000 + 0x8000 * (n % 2);
                block[*at..at + 2].copy_from_slice(&(scale as u16).to_le_bytes());
            }
            dequantise(&block).iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
    let hashes = [
        hash(&[0], q4_0::dequantise),
        hash(&[0, 2], q4_1::dequantise),
        hash(&[0], q5_0::dequantise),
        hash(&[0], q8_0::dequantise),
        hash(&[0, 2], q4_k::dequantise),
        hash(&[208], q6_k::dequantise),
    ];
    assert_eq!(
        hashes,
        [
            "183e3337d089216f5a9184b367bb50f25676d77e763c7c136d958c466a99a2e0",
            "842a18311d366980322aba0b29e942528a7d0daea9e7f2461403496b7b947c94",
            "9a40576c5d6559307efc9a6e8a1dd86f3165bc1789a4c1949e1a48be92f68a3b",
            "0682a534ad754b2d6e154d5260abbf8097db2d7cb00cb64ef69b92c30a522c89",
            "c964e897a1fe809cdee940930a9982db49406decab613211f5b417fdd5c2563a",
            "fd44cfdbb7fec3c0d5b5a89d5c0742f81d7461c9778df49dcf96508d01bb3cb3",
        ]
    );
}

/// Blocks of all magnitudes that f16 scales can serve, outliers and zeros among them.
fn blocks() -> impl Strategy<Value = [f32; VALUES]> {
    let value = prop_oneof![8 => -1.0f32..1.0, 1 => Just(0.0), 1 => -8.0f32..8.0, 1 => Just(1.0), 1 => Just(-1.0)];
    (prop::array::uniform32(value), -18i32..12).prop_map(|(values, power)| values.map(|v| v * 2f32.powi(power)))
}

proptest! {
    #[test]
    fn q5_0_as_q8_0_has_the_same_values(bytes in prop::array::uniform22(any::<u8>())) {
        prop_assume!(scale(&bytes).is_finite());
        prop_assert_eq!(q8_0::dequantise(&q5_0::to_q8_0(&bytes)), q5_0::dequantise(&bytes));
    }

    #[test]
    fn q8_0_is_off_by_half_a_step_at_most(values in blocks()) {
        let bytes = q8_0::quantise(&values);
        let d = values.iter().fold(0.0f32, |l, v| l.max(v.abs())) / 127.0;
        let stored = scale(&bytes).to_f32();
        for ((x, y), q) in values.iter().zip(q8_0::dequantise(&bytes)).zip(&bytes[2..]) {
            let rounding = f32::from(*q as i8).abs() * (stored - d).abs();
            prop_assert!((x - y).abs() <= (d / 2.0 + rounding) * 1.0001, "{} for {}, d = {}", y, x, d);
        }
        // The scale uses the whole range, and rounds as f16 does.
        prop_assert!((stored - d).abs() <= d / 2048.0 + 3e-8);
        prop_assert!(d == 0.0 || bytes[2..].iter().any(|q| (*q as i8).unsigned_abs() == 127));
    }

    #[test]
    fn q4_0_is_off_by_half_a_step_or_clamped(values in blocks()) {
        let bytes = q4_0::quantise(&values);
        let largest = values.iter().fold(0.0f32, |l, v| if v.abs() > l.abs() { *v } else { l });
        let d = largest / -8.0;
        let stored = scale(&bytes).to_f32();
        for (x, y) in values.iter().zip(q4_0::dequantise(&bytes)) {
            let step = if x * d > 7.5 * d * d { 1.0 } else { 0.5 };
            let bound = d.abs() * step + 8.0 * (stored - d).abs();
            prop_assert!((x - y).abs() <= bound * 1.0001, "{} for {}, d = {}", y, x, d);
        }
        prop_assert!((stored - d).abs() <= d.abs() / 2048.0 + 3e-8);
    }

    #[test]
    fn quantising_again_changes_nothing(values in blocks()) {
        let once = q8_0::dequantise(&q8_0::quantise(&values));
        prop_assert_eq!(q8_0::dequantise(&q8_0::quantise(&once)), once);
        let once = q4_0::dequantise(&q4_0::quantise(&values));
        prop_assert_eq!(q4_0::dequantise(&q4_0::quantise(&once)), once);
    }

    #[test]
    fn any_bytes_of_a_finite_scale_give_finite_values(bytes in prop::collection::vec(any::<u8>(), 34)) {
        prop_assume!(scale(&bytes).is_finite());
        let q8: [u8; 34] = bytes[..].try_into().expect("34");
        let q4: [u8; 18] = bytes[..18].try_into().expect("18");
        let d = scale(&bytes).to_f32();
        for (i, v) in q8_0::dequantise(&q8).into_iter().enumerate() {
            prop_assert_eq!(v, d * f32::from(q8[2 + i] as i8));
        }
        for (i, v) in q4_0::dequantise(&q4).into_iter().enumerate() {
            let n = (q4[2 + i % 16] >> (4 * (i / 16))) & 15;
            prop_assert_eq!(v, d * (f32::from(n) - 8.0));
        }
    }
}
