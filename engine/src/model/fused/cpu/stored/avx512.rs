//! Kernels for vectors of sixteen numbers.

use super::avx2::rest;
use super::formats::{Format, Q4_0, Q4_1, Q8_0, minima_part, scales};
use super::{BLOCK, Input, RUN, Stored};
use crate::checkpoint::StoredType;
use std::arch::x86_64::*;

/// Rows of `w` times `input`.
///
/// # Safety
/// The processor has AVX-512F and what the kernels for eight need; `y` holds a number for every row, `input` one for
/// every value of a row.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
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

/// The steps of a block, sixteen at a time.
#[inline(always)]
unsafe fn steps<F: Format>(block: *const u8) -> [__m512; 2] {
    // SAFETY: the block has 32 bytes of steps, or 16 of nibbles.
    unsafe {
        let bytes = block.add(F::STEPS);
        if !F::NIBBLES {
            return [
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast()))),
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.add(16).cast()))),
            ];
        }
        let v = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.cast()));
        // The four lowest bits choose one of sixteen numbers.
        let steps = _mm512_setr_ps(
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
        );
        let high = _mm512_srli_epi32::<4>(v);
        [_mm512_permutexvar_ps(v, steps), _mm512_permutexvar_ps(high, steps)]
    }
}

#[inline(always)]
unsafe fn blocks<F: Format>(row: &[u8], input: Input) -> f32 {
    let mut rest = 0.0;
    let mut at = 0;
    // SAFETY: a block of `x` for every block of the row.
    unsafe {
        let mut sums = _mm512_setzero_ps();
        for run in row.chunks(RUN * F::BYTES) {
            let scales = scales::<F>(run);
            rest += minima_part::<F>(run, &scales, input, at);
            for (i, block) in run.chunks_exact(F::BYTES).enumerate() {
                let x = input.x.as_ptr().add((at + i) * BLOCK);
                let [a, b] = steps::<F>(block.as_ptr());
                let sum = _mm512_mul_ps(a, _mm512_loadu_ps(x));
                let sum = _mm512_fmadd_ps(b, _mm512_loadu_ps(x.add(16)), sum);
                sums = _mm512_fmadd_ps(sum, _mm512_set1_ps(scales[i]), sums);
            }
            at += RUN;
        }
        _mm512_reduce_add_ps(sums) + rest
    }
}

/// `sum` and the products of the numbers from place `i` on.
#[inline(always)]
unsafe fn product<const BF16: bool>(row: &[u8], x: &[f32], i: usize, sum: __m512) -> __m512 {
    // SAFETY: the caller's word for the numbers there.
    unsafe {
        let bits = _mm256_loadu_si256(row.as_ptr().add(2 * i).cast());
        let w = if BF16 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
        } else {
            _mm512_cvtph_ps(bits)
        };
        _mm512_fmadd_ps(w, _mm512_loadu_ps(x.as_ptr().add(i)), sum)
    }
}

/// A row of 16-bit floats times `x`.
#[inline(always)]
unsafe fn halves<const BF16: bool>(row: &[u8], x: &[f32]) -> f32 {
    const LANES: usize = 16;
    // SAFETY: sixteen numbers of both from every place that is read.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); 4];
        let (fours, whole) = (x.len() / (4 * LANES) * 4 * LANES, x.len() / LANES * LANES);
        for i in (0..fours).step_by(4 * LANES) {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = product::<BF16>(row, x, i + j * LANES, *sum);
            }
        }
        for i in (fours..whole).step_by(LANES) {
            sums[0] = product::<BF16>(row, x, i, sums[0]);
        }
        let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
        _mm512_reduce_add_ps(sum) + rest::<BF16>(row, x, whole)
    }
}
