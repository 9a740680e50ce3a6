//! The processor's tiles: whether there are any, and products by them.

use super::super::Target;
use super::super::pack::{LINE as TILE, first};
use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

/// Rows, and columns, of two tiles.
pub(super) const TWO: usize = 2 * TILE;

/// Whether the processor has the tiles and this process may use them. Asks for them the first time.
pub(in super::super) fn available() -> bool {
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

/// This thread's tiles, all of 16 rows of 64 bytes, until it is dropped.
pub(super) struct Tiles(());

impl Tiles {
    /// # Safety
    /// [`available`].
    pub(super) unsafe fn new() -> Self {
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
    pub(super) unsafe fn block(&self, a: *const u32, b: *const u32, pairs: usize, rows: usize, to: Target) {
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
