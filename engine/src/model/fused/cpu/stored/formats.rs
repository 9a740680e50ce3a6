//! The block formats as vectors see them: value `i` of a block is `step i · scale + minimum`.

use super::{Input, RUN};
use std::arch::x86_64::{
    _mm_setr_epi16, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps,
};

/// What is added to every value of a block.
pub(super) enum Minimum {
    Nothing,
    /// So many scales.
    Scales(f32),
    /// A number that stands behind the scale.
    Stored,
}

pub(super) trait Format {
    const BYTES: usize;
    const MINIMUM: Minimum;
    /// Where the steps begin: behind the scale, and the minimum if it is stored.
    const STEPS: usize = match Self::MINIMUM {
        Minimum::Stored => 4,
        _ => 2,
    };
    /// Whether two steps share a byte, the first of them in a block's first half.
    const NIBBLES: bool;
}

pub(super) struct Q8_0;
pub(super) struct Q4_0;
pub(super) struct Q4_1;

impl Format for Q8_0 {
    const BYTES: usize = 34;
    const MINIMUM: Minimum = Minimum::Nothing;
    const NIBBLES: bool = false;
}

impl Format for Q4_0 {
    const BYTES: usize = 18;
    const MINIMUM: Minimum = Minimum::Scales(-8.0);
    const NIBBLES: bool = true;
}

impl Format for Q4_1 {
    const BYTES: usize = 20;
    const MINIMUM: Minimum = Minimum::Stored;
    const NIBBLES: bool = true;
}

/// The f16 numbers at byte `at` of up to [`RUN`] blocks of `size` bytes as f32. What follows them are repetitions or zeros.
///
/// # Safety
/// The processor has F16C and AVX.
#[inline(always)]
unsafe fn halves(blocks: &[u8], size: usize, at: usize) -> [f32; RUN] {
    let mut numbers = [0f32; RUN];
    let n = (blocks.len() / size).min(RUN);
    for i in (0..n).step_by(8) {
        // Always eight, as gathering fewer in a loop would go through memory.
        let place = |j: usize| (i + j).min(n - 1) * size + at;
        // SAFETY: the numbers stand inside the first `n` blocks; RUN is a multiple of 8.
        unsafe {
            let half = |j: usize| blocks.as_ptr().add(place(j)).cast::<i16>().read_unaligned();
            let (a, b, c, d) = (half(0), half(1), half(2), half(3));
            let (e, f, g, h) = (half(4), half(5), half(6), half(7));
            let numbers = numbers.as_mut_ptr().add(i);
            _mm256_storeu_ps(numbers, _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h)));
        }
    }
    numbers
}

/// Scales of up to [`RUN`] blocks.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn scales<F: Format>(blocks: &[u8]) -> [f32; RUN] {
    // SAFETY: as the caller's.
    unsafe { halves(blocks, F::BYTES, 0) }
}

/// Minima of up to [`RUN`] blocks with these scales.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn minima<F: Format>(blocks: &[u8], scales: &[f32; RUN]) -> [f32; RUN] {
    match F::MINIMUM {
        Minimum::Nothing => [0.0; RUN],
        Minimum::Scales(n) => scales.map(|scale| scale * n),
        // SAFETY: as the caller's.
        Minimum::Stored => unsafe { halves(blocks, F::BYTES, 2) },
    }
}

/// The minima of up to [`RUN`] blocks times the sums of the blocks of `input` from block `start` on.
///
/// # Safety
/// As above, and FMA.
#[inline(always)]
pub(super) unsafe fn minima_part<F: Format>(blocks: &[u8], scales: &[f32; RUN], input: Input, start: usize) -> f32 {
    let sums = match F::MINIMUM {
        Minimum::Nothing => return 0.0,
        _ => &input.sums[start..start + RUN],
    };
    let n = blocks.len() / F::BYTES;
    let mut lanes = [0f32; 8];
    // SAFETY: RUN is a multiple of 8, and both hold so many.
    unsafe {
        let minima = match F::MINIMUM {
            Minimum::Stored => halves(blocks, F::BYTES, 2),
            _ => *scales,
        };
        let mut sum = _mm256_setzero_ps();
        for i in (0..n).step_by(8) {
            let minima = _mm256_loadu_ps(minima.as_ptr().add(i));
            sum = _mm256_fmadd_ps(minima, _mm256_loadu_ps(sums.as_ptr().add(i)), sum);
        }
        if let Minimum::Scales(n) = F::MINIMUM {
            sum = _mm256_mul_ps(sum, _mm256_set1_ps(n));
        }
        _mm256_storeu_ps(lanes.as_mut_ptr(), sum);
    }
    lanes.iter().sum()
}
