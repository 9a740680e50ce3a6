//! Which instructions the processor has, found out at run time; and what kernels for several lengths of vectors share.

use half::f16;
use half::slice::HalfFloatSliceExt;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Instructions of the processor. A variant for more than any processor has is only made where they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Any.
    Plain,
    /// Vectors of eight numbers, with multiply-add and 16-bit floats.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Vectors of sixteen.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// All that this processor has, the best last.
    pub(super) fn available() -> impl DoubleEndedIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f");
            [avx2.then_some(Self::Avx2), avx512.then_some(Self::Avx512)]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let vectors: [Option<Self>; 0] = [];
        std::iter::once(Self::Plain).chain(vectors.into_iter().flatten())
    }

    /// The best that this processor has.
    pub(super) fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Plain)
    }
}

/// `from` as f32, into `to` of the same length.
pub(super) fn widen(from: &[f16], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    #[cfg(target_arch = "x86_64")]
    if Level::best() != Level::Plain {
        // SAFETY: the level says that the processor has F16C; the lengths are equal.
        return unsafe { widen_256(from, to) };
    }
    from.convert_to_f32_slice(to);
}

/// The loop as one: `half` calls a function for every eight numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
unsafe fn widen_256(from: &[f16], to: &mut [f32]) {
    let whole = from.len() / 8 * 8;
    for i in (0..whole).step_by(8) {
        // SAFETY: eight numbers of both from `i` on.
        unsafe {
            let bits = _mm_loadu_si128(from.as_ptr().add(i).cast());
            _mm256_storeu_ps(to.as_mut_ptr().add(i), _mm256_cvtph_ps(bits));
        }
    }
    for (to, from) in to[whole..].iter_mut().zip(&from[whole..]) {
        *to = from.to_f32();
    }
}

/// A vector of `N` numbers. Every function wants the processor's instructions for it.
#[cfg(target_arch = "x86_64")]
pub(super) trait Lanes: Copy {
    const N: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `a · b + self`.
    unsafe fn plus(self, a: Self, b: Self) -> Self;
    /// Sums of four vectors.
    unsafe fn sums(four: [Self; 4]) -> __m128;
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: of the trait, here and below.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn plus(self, a: Self, b: Self) -> Self {
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> __m128 {
        unsafe {
            let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: of the trait, here and below.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn plus(self, a: Self, b: Self) -> Self {
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> __m128 {
        unsafe { <__m256 as Lanes>::sums([halves(a), halves(b), halves(c), halves(d)]) }
    }
}

/// The sum of a vector's halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn halves(v: __m512) -> __m256 {
    // SAFETY: as the caller's.
    unsafe {
        let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v));
        _mm256_add_ps(_mm512_castps512_ps256(v), _mm256_castpd_ps(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened() {
        // All finite ones, in lengths that are no whole vectors.
        let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()).collect();
        for from in [&all[..], &all[..3], &all[5..18], &[]] {
            let mut to = vec![f32::NAN; from.len()];
            widen(from, &mut to);
            assert!(from.iter().zip(&to).all(|(from, to)| from.to_f32() == *to));
        }
    }
}
