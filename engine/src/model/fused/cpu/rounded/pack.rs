//! Packing: numbers rounded, and put where the products read them. What is stored is pairs along the sum, `(k, k + 1)` in the halves
//! of a `u32`, as `vdpbf16ps` takes them.

use super::Source;
use std::arch::x86_64::*;

/// Pairs of a vector, and of a row of AMX's tiles.
pub(super) const LINE: usize = 16;

/// The `lanes` numbers from `at` on, rounded, in the low ones of 16; 0 in the others.
///
/// # Safety
/// They are inside of `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load(source: Source<'_>, at: usize, lanes: usize) -> __m256i {
    let mask = first(lanes);
    // SAFETY: the mask reads what the caller vouches for; a vector of bfloat16 is 16 numbers of 16 bits.
    unsafe {
        match source {
            Source::F32(s) => {
                let wide = _mm512_maskz_loadu_ps(mask, s.as_ptr().add(at));
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(wide))
            }
            Source::Bf16(s) => _mm256_maskz_loadu_epi16(mask, s.as_ptr().add(at).cast()),
        }
    }
}

/// A mask of the first `lanes` of 16.
#[inline]
pub(super) fn first(lanes: usize) -> u16 {
    if lanes >= 16 { u16::MAX } else { (1 << lanes) - 1 }
}

/// Pairs of two neighbouring rows of `source`, `n` numbers from `low` and from `high` on (0 where there is no `high`), to `out[..n]`.
///
/// # Safety
/// They are inside of `source`, `out` has room for `n`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn across(source: Source<'_>, low: usize, high: Option<usize>, n: usize, out: &mut [u32]) {
    for i in (0..n).step_by(16) {
        let lanes = n - i;
        if let (Source::F32(s), Some(high), 16..) = (source, high, lanes) {
            // Both rounded at once, then the halves of the vector dealt out in pairs.
            // SAFETY: 16 numbers of both rows from `i` on.
            unsafe {
                let (low, high) = (
                    _mm512_loadu_ps(s.as_ptr().add(low + i)),
                    _mm512_loadu_ps(s.as_ptr().add(high + i)),
                );
                let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                let pairs = _mm512_permutexvar_epi16(dealt(), rounded);
                _mm512_storeu_si512(out[i..i + 16].as_mut_ptr().cast(), pairs);
            }
            continue;
        }
        // SAFETY: `i + lanes` is `n` at most.
        unsafe {
            let mut pairs = _mm512_cvtepu16_epi32(load(source, low + i, lanes));
            if let Some(high) = high {
                let high = _mm512_cvtepu16_epi32(load(source, high + i, lanes));
                pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(high, 16));
            }
            _mm512_mask_storeu_epi32(out.as_mut_ptr().add(i).cast(), first(lanes), pairs);
        }
    }
}

/// 0, 16, 1, 17, …: of 32 numbers one of the lower half, then one of the upper.
#[inline]
#[target_feature(enable = "avx512f")]
fn dealt() -> __m512i {
    const DEALT: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: 32 numbers of 16 bits are a vector.
    unsafe { _mm512_loadu_si512(DEALT.as_ptr().cast()) }
}

/// Pairs of `k` neighbouring numbers from `at` on, the last with 0 where `k` is odd, to `out[..k.div_ceil(2)]`.
///
/// # Safety
/// They are inside of `source`, `out` has room for them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn along(source: Source<'_>, at: usize, k: usize, out: &mut [u32]) {
    for i in (0..k).step_by(16) {
        let lanes = (k - i).min(16);
        // SAFETY: `i + lanes` is `k` at most.
        unsafe {
            let pairs = load(source, at + i, lanes);
            _mm256_mask_storeu_epi32(
                out.as_mut_ptr().add(i / 2).cast(),
                first(lanes.div_ceil(2)) as u8,
                pairs,
            );
        }
    }
}

/// 16 pairs from `at` on.
///
/// # Safety
/// They are inside of `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn whole_line(source: Source<'_>, at: usize) -> __m512i {
    // SAFETY: the caller's word; a vector of bfloat16 is 32 numbers of 16 bits.
    unsafe {
        match source {
            Source::F32(s) => {
                let from = s.as_ptr().add(at);
                let rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(LINE)), _mm512_loadu_ps(from));
                std::mem::transmute::<__m512bh, __m512i>(rounded)
            }
            Source::Bf16(s) => _mm512_loadu_si512(s.as_ptr().add(at).cast()),
        }
    }
}

/// `lines` with rows and columns exchanged, to 16 rows that are `row` apart.
///
/// # Safety
/// They can be written.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose(lines: &[[u32; LINE]; LINE], to: *mut u32, row: usize) {
    // SAFETY: 16 numbers a line; the caller's word.
    unsafe {
        let v: [__m512i; LINE] = std::array::from_fn(|i| _mm512_loadu_si512(lines[i].as_ptr().cast()));
        // By twos, by fours, then whole quarters of the vectors.
        let v: [__m512i; LINE] = std::array::from_fn(|i| match i % 2 {
            0 => _mm512_unpacklo_epi32(v[i], v[i + 1]),
            _ => _mm512_unpackhi_epi32(v[i - 1], v[i]),
        });
        let v: [__m512i; LINE] = std::array::from_fn(|i| {
            let (low, of) = (i / 4 * 4, i % 4);
            let (x, y) = (v[low + of / 2], v[low + of / 2 + 2]);
            match of % 2 {
                0 => _mm512_unpacklo_epi64(x, y),
                _ => _mm512_unpackhi_epi64(x, y),
            }
        });
        // v[4 g + c], quarter q: lines 4 g to 4 g + 3 of column 4 q + c.
        for c in 0..4 {
            let a = _mm512_shuffle_i32x4::<0b01_00_01_00>(v[c], v[4 + c]);
            let b = _mm512_shuffle_i32x4::<0b11_10_11_10>(v[c], v[4 + c]);
            let d = _mm512_shuffle_i32x4::<0b01_00_01_00>(v[8 + c], v[12 + c]);
            let e = _mm512_shuffle_i32x4::<0b11_10_11_10>(v[8 + c], v[12 + c]);
            let columns = [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(a, d),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(a, d),
                _mm512_shuffle_i32x4::<0b10_00_10_00>(b, e),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(b, e),
            ];
            for (q, column) in columns.into_iter().enumerate() {
                _mm512_storeu_si512(to.add((4 * q + c) * row).cast(), column);
            }
        }
    }
}
