//! The kernels by the processor's instructions.

use super::super::flash_loops::dot;
use super::super::level::{Level, widen};
use super::super::wide::{Loop, wide};
use super::{Input, Stored};
use crate::checkpoint::StoredType;
use half::f16;

impl Level {
    /// `y[i]` = row `i` of `w` times `input`.
    pub(super) fn dots(self, w: Stored, input: Input, y: &mut [f32]) {
        assert!(w.rows() == y.len() && w.inputs == input.x.len());
        match self {
            Self::Plain => plain_dots(w, input, y),
            // SAFETY: the variants exist only where `available` found the instructions. Lengths were checked above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { super::avx2::dots(w, input, y) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { super::avx512::dots(w, input, y) },
        }
    }

    /// The values of `w` in `to`, of the same number.
    pub(super) fn widen(self, w: Stored, to: &mut [f32]) {
        assert_eq!(w.rows() * w.inputs, to.len());
        match (w.kind, self) {
            (StoredType::F16, _) if w.aligned() => widen(w.cast::<f16>(), to),
            (StoredType::BF16, _) => wide(WidenBf16 { from: w.bytes, to }),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q8_0 | StoredType::Q4_0 | StoredType::Q4_1, Self::Avx2 | Self::Avx512) => unsafe {
                super::avx2::widen(w, to);
            },
            _ => {
                let mut values = Vec::with_capacity(to.len());
                w.kind.decode(w.bytes, &mut values);
                to.copy_from_slice(&values);
            }
        }
    }
}

impl Stored<'_> {
    fn aligned(self) -> bool {
        bytemuck::try_cast_slice::<u8, u16>(self.bytes).is_ok()
    }

    fn cast<T: bytemuck::Pod>(&self) -> &[T] {
        bytemuck::try_cast_slice(self.bytes).unwrap_or_default()
    }
}

struct WidenBf16<'a> {
    from: &'a [u8],
    to: &'a mut [f32],
}

impl Loop for WidenBf16<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from.as_chunks::<2>().0) {
            *to = f32::from_bits(u32::from(u16::from_le_bytes(*from)) << 16);
        }
    }
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl Loop for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        dot(self.0, self.1)
    }
}

fn plain_dots(w: Stored, input: Input, y: &mut [f32]) {
    let mut values = Vec::with_capacity(w.inputs);
    for (row, y) in w.bytes.chunks_exact(w.row_bytes().max(1)).zip(y) {
        values.clear();
        w.kind.decode(row, &mut values);
        *y = wide(Dot(&values, input.x));
    }
}
