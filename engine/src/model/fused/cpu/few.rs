//! Attention's two products for the few query rows of one token: reading keys and values is all the work.

use super::flash_loops::{Scores, Values};
#[cfg(target_arch = "x86_64")]
use super::level::{Lanes, Level};
use super::wide::wide;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512, _mm_storeu_ps};

/// See [`Scores`].
pub(super) fn scores(work: Scores) {
    #[cfg(target_arch = "x86_64")]
    {
        let (rows, keys) = (work.q.len() / work.dim, work.k.len() / work.dim);
        assert!(rows == 0 || work.scores.len() >= (rows - 1) * work.stride + keys);
        match Level::best() {
            // SAFETY: the level says what the processor has; the lengths were checked above.
            Level::Avx512 if work.dim.is_multiple_of(16) => return unsafe { scores_512(work) },
            Level::Avx2 | Level::Avx512 if work.dim.is_multiple_of(8) => return unsafe { scores_256(work) },
            _ => {}
        }
    }
    wide(work);
}

/// See [`Values`].
pub(super) fn values(work: Values) {
    #[cfg(target_arch = "x86_64")]
    {
        let (rows, keys) = (work.out.len() / work.dim, work.v.len() / work.dim);
        assert!(rows == 0 || work.scores.len() >= (rows - 1) * work.stride + keys);
        match Level::best() {
            // SAFETY: as above.
            Level::Avx512 if work.dim.is_multiple_of(16) => return unsafe { values_512(work) },
            Level::Avx2 | Level::Avx512 if work.dim.is_multiple_of(8) => return unsafe { values_256(work) },
            _ => {}
        }
    }
    wide(work);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn scores_512(work: Scores) {
    // SAFETY: as the caller's, here and below.
    unsafe { scores_by::<__m512>(work) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn scores_256(work: Scores) {
    unsafe { scores_by::<__m256>(work) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn values_512(work: Values) {
    unsafe { values_by::<__m512>(work) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn values_256(work: Values) {
    unsafe { values_by::<__m256>(work) }
}

/// Four keys at a time: they share the loads of a query, and their sums are added up together.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn scores_by<V: Lanes>(work: Scores) {
    let Scores {
        q,
        k,
        dim,
        scores,
        stride,
    } = work;
    let keys = k.len() / dim;
    for (row, query) in q.chunks_exact(dim).enumerate() {
        let query = query.as_ptr();
        for j in (0..keys).step_by(4) {
            // The last few are counted more than once instead of reading past the end.
            let key = |i: usize| k[(j + i).min(keys - 1) * dim..].as_ptr();
            let [a, b, c, d] = [key(0), key(1), key(2), key(3)];
            let mut found = [0f32; 4];
            // SAFETY: a query and every key have `dim` numbers, whole vectors.
            unsafe {
                let mut sums = [V::splat(0.0); 4];
                for i in (0..dim).step_by(V::N) {
                    let x = V::load(query.add(i));
                    sums[0] = sums[0].plus(V::load(a.add(i)), x);
                    sums[1] = sums[1].plus(V::load(b.add(i)), x);
                    sums[2] = sums[2].plus(V::load(c.add(i)), x);
                    sums[3] = sums[3].plus(V::load(d.add(i)), x);
                }
                _mm_storeu_ps(found.as_mut_ptr(), V::sums(sums));
            }
            let n = (keys - j).min(4);
            scores[row * stride + j..][..n].copy_from_slice(&found[..n]);
        }
    }
}

/// Four vectors of outputs at a time stay in registers over all keys.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn values_by<V: Lanes>(work: Values) {
    let Values {
        scores,
        stride,
        v,
        dim,
        out,
    } = work;
    let keys = v.len() / dim;
    for (row, out) in out.chunks_exact_mut(dim).enumerate() {
        let scores = &scores[row * stride..][..keys];
        let mut at = 0;
        // SAFETY: every value and the outputs have `dim` numbers, whole vectors.
        unsafe {
            while at + 4 * V::N <= dim {
                let out = out.as_mut_ptr().add(at);
                let mut sums = [
                    V::load(out),
                    V::load(out.add(V::N)),
                    V::load(out.add(2 * V::N)),
                    V::load(out.add(3 * V::N)),
                ];
                for (j, score) in scores.iter().enumerate() {
                    let (score, v) = (V::splat(*score), v.as_ptr().add(j * dim + at));
                    sums[0] = sums[0].plus(score, V::load(v));
                    sums[1] = sums[1].plus(score, V::load(v.add(V::N)));
                    sums[2] = sums[2].plus(score, V::load(v.add(2 * V::N)));
                    sums[3] = sums[3].plus(score, V::load(v.add(3 * V::N)));
                }
                sums[0].store(out);
                sums[1].store(out.add(V::N));
                sums[2].store(out.add(2 * V::N));
                sums[3].store(out.add(3 * V::N));
                at += 4 * V::N;
            }
            while at < dim {
                let out = out.as_mut_ptr().add(at);
                let mut sum = V::load(out);
                for (j, score) in scores.iter().enumerate() {
                    sum = sum.plus(V::splat(*score), V::load(v.as_ptr().add(j * dim + at)));
                }
                sum.store(out);
                at += V::N;
            }
        }
    }
}
