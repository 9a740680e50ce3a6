//! The kernel for AMX-BF16 (Sapphire Rapids and later): 32 rows by 32 columns of sums in four of the processor's tiles.
//!
//! The intrinsics are not stable, so the loop is assembly. Linux gives the tiles to a process that asks for them; elsewhere
//! [`super::vectors`] multiply.

use super::super::math::View;
use super::bands::{Kernel, Product};
use super::pack::{across, along, first};
use super::{Source, Target};
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::OnceLock;

/// Rows and columns of a tile, and pairs of terms that one instruction adds up.
const TILE: usize = 16;
/// Rows, and columns, of two tiles.
const TWO: usize = 2 * TILE;

/// Tiles of 16 rows of 16 pairs. `a` is packed tile by tile, so that each is read from one place.
pub(super) struct Amx;

impl Kernel for Amx {
    const ROWS: usize = TWO;
    const COLUMNS: usize = TWO;

    /// Whole tiles, the last filled up with zeros.
    fn stored(pairs: usize) -> usize {
        pairs.next_multiple_of(TILE)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack_b((b, view): (Source<'_>, View), columns: Range<usize>, from: usize, depth: usize, out: &mut [u32]) {
        if columns.len() < TWO {
            out.fill(0);
        }
        let pairs = depth.div_ceil(2);
        if view.column == 1 {
            for (p, out) in out.chunks_exact_mut(TWO).enumerate() {
                if p >= pairs {
                    out.fill(0);
                    continue;
                }
                let low = view.at + (from + 2 * p) * view.row + columns.start;
                let high = (2 * p + 1 < depth).then_some(low + view.row);
                // SAFETY: the caller's word.
                unsafe { across(b, low, high, columns.len(), out) };
            }
            return;
        }
        assert_eq!(view.row, 1, "one stride of two is 1");
        let mut lines = [[0; TILE]; TILE];
        for (p, out) in (0..).step_by(TILE).zip(out.chunks_exact_mut(TILE * TWO)) {
            for group in (0..columns.len()).step_by(TILE) {
                let own = TILE.min(columns.len() - group);
                for (column, line) in (columns.start + group..).zip(&mut lines[..own]) {
                    // SAFETY: the caller's word.
                    unsafe { line_of(b, view.at + column * view.column + from, depth, p, line) };
                }
                lines[own..].fill([0; TILE]);
                // SAFETY: a tile of 16 rows from there on.
                unsafe { transpose(&lines, out[group..].as_mut_ptr(), TWO) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn band(product: &Product<'_>, rows: Range<usize>, packed: &mut [u32]) {
        let pairs = product.pairs;
        // SAFETY: the caller's word for the views; every tile stays inside of what was packed and of the rows of `to`.
        unsafe {
            pack_a(product.a, rows.clone(), product.from, product.depth, packed);
            let tiles = Tiles::new();
            for (panel, b) in product.b.chunks_exact(pairs * TWO).enumerate() {
                for i in (0..rows.len()).step_by(TWO) {
                    let a = packed.as_ptr().add(i * pairs);
                    let to = product.to.part(rows.start + i, panel * TWO, TWO);
                    tiles.block(a, b.as_ptr(), pairs, rows.len() - i, to);
                }
            }
        }
    }
}

/// Pairs `p..p + 16` of a sum of `depth` terms that lie one after the other from `at` on; zeros beyond.
///
/// # Safety
/// The terms are inside of `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn line_of(source: Source<'_>, at: usize, depth: usize, p: usize, line: &mut [u32]) {
    let terms = depth.saturating_sub(2 * p).min(2 * TILE);
    // SAFETY: the caller's word; `line` has room for 16 pairs.
    unsafe {
        if terms == 2 * TILE {
            let pairs = whole_line(source, at + 2 * p);
            return _mm512_storeu_si512(line[..TILE].as_mut_ptr().cast(), pairs);
        }
        along(source, at + 2 * p, terms, line);
    }
    line[terms.div_ceil(2)..].fill(0);
}

/// Whether the processor has the tiles and this process may use them. Asks for them the first time.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && permitted())
}

/// By CPUID, leaf 7: AMX-BF16 and AMX-TILE.
fn has_tiles() -> bool {
    const NEEDED: u32 = 1 << 22 | 1 << 24;
    // Leaf 0 says whether there is a leaf 7.
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & NEEDED == NEEDED
}

/// The kernel keeps room for a thread's tiles (8 KiB) only where the process has asked for it; then for all of its threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that reads and writes no memory of ours; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// 16 pairs from `at` on.
///
/// # Safety
/// They are inside of `source`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn whole_line(source: Source<'_>, at: usize) -> __m512i {
    // SAFETY: the caller's word; a vector of bfloat16 is 32 numbers of 16 bits.
    unsafe {
        match source {
            Source::F32(s) => {
                let from = s.as_ptr().add(at);
                let rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(TILE)), _mm512_loadu_ps(from));
                std::mem::transmute::<__m512bh, __m512i>(rounded)
            }
            Source::Bf16(s) => _mm512_loadu_si512(s.as_ptr().add(at).cast()),
        }
    }
}

/// This thread's tiles, all of 16 rows of 64 bytes, until it is dropped.
struct Tiles(());

impl Tiles {
    /// # Safety
    /// [`available`].
    unsafe fn new() -> Self {
        #[repr(C, align(64))]
        struct Shapes([u8; 64]);
        let mut shapes = Shapes([0; 64]);
        // Palette 1; from byte 16 on the bytes of a row (two for each tile), from 48 on the rows.
        shapes.0[0] = 1;
        for tile in 0..8 {
            shapes.0[16 + 2 * tile] = 4 * TILE as u8;
            shapes.0[48 + tile] = TILE as u8;
        }
        // SAFETY: the caller's word; 64 bytes are read.
        unsafe { asm!("ldtilecfg [{0}]", in(reg) shapes.0.as_ptr(), options(nostack, readonly)) };
        Self(())
    }

    /// 32 packed rows by a panel of `b`, both of `pairs` pairs, a whole number of tiles; the first `rows` are written.
    ///
    /// # Safety
    /// `a` holds 32 rows and `b` a panel; `to` can be written for `rows` rows, and read where it says `add`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn block(&self, a: *const u32, b: *const u32, pairs: usize, rows: usize, to: Target) {
        // SAFETY: the caller's word; what is not whole goes through `sums`.
        unsafe {
            if rows >= TWO && to.columns == TWO {
                return multiply(a, b, pairs, to.at, to.row, to.add);
            }
            let mut sums = [0f32; TWO * TWO];
            multiply(a, b, pairs, sums.as_mut_ptr(), TWO, false);
            for (r, sums) in sums.chunks_exact(TWO).enumerate().take(rows) {
                for v in (0..to.columns).step_by(TILE) {
                    let (at, mask) = (to.at.add(r * to.row + v), first(to.columns - v));
                    let mut sum = _mm512_loadu_ps(sums.as_ptr().add(v));
                    if to.add {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, at));
                    }
                    _mm512_mask_storeu_ps(at, mask, sum);
                }
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, or `new` would not have been called. They are empty from here on, and quicker to switch from.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// 32 rows by 32 columns, `to += a·b` or (not `add`) `to = a·b`. Two tiles of `a` by two of `b` are loaded for four products: the
/// loads take no longer than the products do.
///
/// # Safety
/// As [`Tiles::block`], for whole tiles; the tiles are configured.
unsafe fn multiply(a: *const u32, b: *const u32, pairs: usize, to: *mut f32, row: usize, add: bool) {
    // SAFETY: the caller's word.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 2f",
            "tileloadd tmm0, [{c0} + {c_row}*1]",
            "tileloadd tmm1, [{c0} + {c_row}*1 + 64]",
            "tileloadd tmm2, [{c1} + {c_row}*1]",
            "tileloadd tmm3, [{c1} + {c_row}*1 + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "tileloadd tmm6, [{b} + {b_row}*1]",
            "tileloadd tmm4, [{a0} + {a_row}*1]",
            "tileloadd tmm7, [{b} + {b_row}*1 + 64]",
            "tileloadd tmm5, [{a1} + {a_row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a0}, {a_step}",
            "add {a1}, {a_step}",
            "add {b}, {b_step}",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{c0} + {c_row}*1], tmm0",
            "tilestored [{c0} + {c_row}*1 + 64], tmm1",
            "tilestored [{c1} + {c_row}*1], tmm2",
            "tilestored [{c1} + {c_row}*1 + 64], tmm3",
            add = in(reg) u32::from(add),
            a0 = inout(reg) a => _,
            a1 = inout(reg) a.add(TILE * pairs) => _,
            a_row = in(reg) 4 * TILE,
            a_step = const 4 * TILE * TILE,
            b = inout(reg) b => _,
            b_row = in(reg) 4 * TWO,
            b_step = const 4 * TWO * TILE,
            c0 = in(reg) to,
            c1 = in(reg) to.add(TILE * row),
            c_row = in(reg) 4 * row,
            steps = inout(reg) pairs / TILE => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Terms `from..from + depth` of `rows` of `a`: for 16 rows after the other, tiles of 16 pairs of each.
///
/// # Safety
/// The rows and terms are inside of `a`; `out` has room for whole tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_a((a, view): (Source<'_>, View), rows: Range<usize>, from: usize, depth: usize, out: &mut [u32]) {
    let pairs = depth.div_ceil(2);
    let block = TILE * Amx::stored(pairs);
    if view.column == 1 {
        for (i, row) in rows.enumerate() {
            let out = out[i / TILE * block..][..block].chunks_exact_mut(TILE * TILE);
            for (p, tile) in (0..).step_by(TILE).zip(out) {
                let line = &mut tile[i % TILE * TILE..][..TILE];
                // SAFETY: the caller's word.
                unsafe { line_of(a, view.at + row * view.row + from, depth, p, line) };
            }
        }
        return;
    }
    assert_eq!(view.row, 1, "one stride of two is 1");
    // Tiles of all rows before those of the next terms: neighbours in memory after each other.
    let mut lines = [[0; TILE]; TILE];
    for first_pair in (0..pairs).step_by(TILE) {
        for (start, out) in rows.clone().step_by(TILE).zip(out.chunks_exact_mut(block)) {
            let m = TILE.min(rows.end - start);
            for (p, line) in (first_pair..).zip(&mut lines) {
                if p >= pairs {
                    line.fill(0);
                    continue;
                }
                let low = view.at + (from + 2 * p) * view.column + start;
                let high = (2 * p + 1 < depth).then_some(low + view.column);
                // SAFETY: the caller's word.
                unsafe { across(a, low, high, m, line) };
            }
            // SAFETY: a tile.
            unsafe { transpose(&lines, out[TILE * first_pair..].as_mut_ptr(), TILE) };
        }
    }
}

/// `lines` with rows and columns exchanged, to 16 rows that are `row` apart.
///
/// # Safety
/// They can be written.
#[target_feature(enable = "avx512f")]
unsafe fn transpose(lines: &[[u32; TILE]; TILE], to: *mut u32, row: usize) {
    // SAFETY: 16 numbers a line; the caller's word.
    unsafe {
        let v: [__m512i; TILE] = std::array::from_fn(|i| _mm512_loadu_si512(lines[i].as_ptr().cast()));
        // By twos, by fours, then whole quarters of the vectors.
        let v: [__m512i; TILE] = std::array::from_fn(|i| match i % 2 {
            0 => _mm512_unpacklo_epi32(v[i], v[i + 1]),
            _ => _mm512_unpackhi_epi32(v[i - 1], v[i]),
        });
        let v: [__m512i; TILE] = std::array::from_fn(|i| {
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
