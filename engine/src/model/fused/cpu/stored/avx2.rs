//! Kernels for vectors of eight numbers.

use super::formats::{Format, Minimum, Q4_0, Q4_1, Q8_0, minima, minima_part, scales};
use super::{BLOCK, Input, RUN, Stored};
use crate::checkpoint::StoredType;
use half::{bf16, f16};
use std::arch::x86_64::*;

/// Rows of `w` times `input`.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; `y` holds a number for every row, `input` one for every value of a row.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dots(w: Stored, input: Input, y: &mut [f32]) {
    let rows = w.bytes.chunks_exact(w.row_bytes().max(1)).zip(y);
    // SAFETY: as the caller's; a row has the bytes of its type.
    unsafe {
        match w.kind {
            StoredType::F16 => {
                for (row, y) in rows {
                    *y = halves::<false>(row, input.x);
                }
            }
            StoredType::BF16 => {
                for (row, y) in rows {
                    *y = halves::<true>(row, input.x);
                }
            }
            StoredType::Q8_0 => {
                for (row, y) in rows {
                    *y = blocks::<Q8_0>(row, input);
                }
            }
            StoredType::Q4_0 => {
                for (row, y) in rows {
                    *y = blocks::<Q4_0>(row, input);
                }
            }
            StoredType::Q4_1 => {
                for (row, y) in rows {
                    *y = blocks::<Q4_1>(row, input);
                }
            }
            _ => unreachable!("no type that is multiplied as stored"),
        }
    }
}

/// The values of `w`, of blocks, in `to`.
///
/// # Safety
/// The processor has AVX2 and F16C; `to` holds as many numbers as `w`.
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn widen(w: Stored, to: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe {
        match w.kind {
            StoredType::Q8_0 => values::<Q8_0>(w.bytes, to),
            StoredType::Q4_0 => values::<Q4_0>(w.bytes, to),
            StoredType::Q4_1 => values::<Q4_1>(w.bytes, to),
            _ => unreachable!("no type of blocks"),
        }
    }
}

/// The steps of a block, eight at a time.
#[inline(always)]
unsafe fn steps<F: Format>(block: *const u8) -> [__m256; 4] {
    // SAFETY: the block has 32 bytes of steps, or 16 of nibbles.
    unsafe {
        let bytes = block.add(F::STEPS);
        if !F::NIBBLES {
            return [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.add(8).cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.add(16).cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.add(24).cast()))),
            ];
        }
        let four = _mm256_set1_epi32(15);
        let a = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast()));
        let b = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.add(8).cast()));
        [
            _mm256_cvtepi32_ps(_mm256_and_si256(a, four)),
            _mm256_cvtepi32_ps(_mm256_and_si256(b, four)),
            _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(a)),
            _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(b)),
        ]
    }
}

#[inline(always)]
unsafe fn blocks<F: Format>(row: &[u8], input: Input) -> f32 {
    let mut rest = 0.0;
    let mut at = 0;
    // SAFETY: a block of `x` for every block of the row.
    unsafe {
        let mut sums = _mm256_setzero_ps();
        for run in row.chunks(RUN * F::BYTES) {
            let scales = scales::<F>(run);
            rest += minima_part::<F>(run, &scales, input, at);
            for (i, block) in run.chunks_exact(F::BYTES).enumerate() {
                let x = input.x.as_ptr().add((at + i) * BLOCK);
                let [a, b, c, d] = steps::<F>(block.as_ptr());
                let mut sum = _mm256_mul_ps(a, _mm256_loadu_ps(x));
                sum = _mm256_fmadd_ps(b, _mm256_loadu_ps(x.add(8)), sum);
                sum = _mm256_fmadd_ps(c, _mm256_loadu_ps(x.add(16)), sum);
                sum = _mm256_fmadd_ps(d, _mm256_loadu_ps(x.add(24)), sum);
                sums = _mm256_fmadd_ps(sum, _mm256_set1_ps(scales[i]), sums);
            }
            at += RUN;
        }
        add(sums) + rest
    }
}

#[inline(always)]
unsafe fn values<F: Format>(bytes: &[u8], to: &mut [f32]) {
    for (run, to) in bytes.chunks(RUN * F::BYTES).zip(to.chunks_mut(RUN * BLOCK)) {
        // SAFETY: 32 numbers of `to` for every block.
        unsafe {
            let scales = scales::<F>(run);
            let minima = minima::<F>(run, &scales);
            for (i, (block, to)) in run.chunks_exact(F::BYTES).zip(to.chunks_exact_mut(BLOCK)).enumerate() {
                let (scale, minimum) = (_mm256_set1_ps(scales[i]), _mm256_set1_ps(minima[i]));
                for (j, steps) in steps::<F>(block.as_ptr()).into_iter().enumerate() {
                    let value = match F::MINIMUM {
                        Minimum::Nothing => _mm256_mul_ps(steps, scale),
                        // Rounded as the formats' reference does it.
                        Minimum::Scales(n) => _mm256_mul_ps(_mm256_add_ps(steps, _mm256_set1_ps(n)), scale),
                        Minimum::Stored => _mm256_add_ps(_mm256_mul_ps(steps, scale), minimum),
                    };
                    _mm256_storeu_ps(to.as_mut_ptr().add(8 * j), value);
                }
            }
        }
    }
}

/// `sum` and the products of the numbers from place `i` on.
#[inline(always)]
unsafe fn product<const BF16: bool>(row: &[u8], x: &[f32], i: usize, sum: __m256) -> __m256 {
    // SAFETY: the caller's word for the numbers there.
    unsafe {
        let bits = _mm_loadu_si128(row.as_ptr().add(2 * i).cast());
        let w = if BF16 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
        } else {
            _mm256_cvtph_ps(bits)
        };
        _mm256_fmadd_ps(w, _mm256_loadu_ps(x.as_ptr().add(i)), sum)
    }
}

/// A row of 16-bit floats times `x`.
#[inline(always)]
unsafe fn halves<const BF16: bool>(row: &[u8], x: &[f32]) -> f32 {
    const LANES: usize = 8;
    // SAFETY: eight numbers of both from every place that is read.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 4];
        let (fours, whole) = (x.len() / (4 * LANES) * 4 * LANES, x.len() / LANES * LANES);
        for i in (0..fours).step_by(4 * LANES) {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = product::<BF16>(row, x, i + j * LANES, *sum);
            }
        }
        for i in (fours..whole).step_by(LANES) {
            sums[0] = product::<BF16>(row, x, i, sums[0]);
        }
        let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        add(sum) + rest::<BF16>(row, x, whole)
    }
}

/// The products from value `start` on, one by one.
#[inline(always)]
pub(super) fn rest<const BF16: bool>(row: &[u8], x: &[f32], start: usize) -> f32 {
    let number = |bits: &[u8; 2]| match BF16 {
        true => bf16::from_le_bytes(*bits).to_f32(),
        false => f16::from_le_bytes(*bits).to_f32(),
    };
    let row = row.as_chunks::<2>().0;
    row[start..].iter().zip(&x[start..]).map(|(w, x)| number(w) * x).sum()
}

#[inline(always)]
unsafe fn add(lanes: __m256) -> f32 {
    let mut numbers = [0f32; 8];
    // SAFETY: there is room for eight.
    unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), lanes) };
    numbers.iter().sum()
}
