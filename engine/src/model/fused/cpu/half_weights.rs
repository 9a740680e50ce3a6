//! Products with weights of 16 bits: a token reads half the bytes. Values are widened next to where they are used, so
//! the numbers are those of the same weights in 32 bits.

use super::WORTH_SHARING;
use super::flash_loops::dot;
use super::math::{View, matmul};
use super::wide::{Loop, wide};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows of weights that are widened at a time: they stay in the cache until they are used.
const ROWS: usize = 64;

/// A type of 16 bits.
pub(in super::super) trait Narrow: Copy + Sync {
    /// Writes `from` as f32 into `to`, of the same length.
    fn widen(from: &[Self], to: &mut [f32]);
}

impl Narrow for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
}

impl Narrow for bf16 {
    #[inline(always)]
    fn widen(from: &[Self], to: &mut [f32]) {
        wide(WidenBf16 { from, to });
    }
}

struct WidenBf16<'a> {
    from: &'a [bf16],
    to: &'a mut [f32],
}

impl Loop for WidenBf16<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

struct Dots<'a> {
    w: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Loop for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (y, row) in self.y.iter_mut().zip(self.w.chunks_exact(self.x.len())) {
            *y = dot(row, self.x);
        }
    }
}

thread_local! {
    /// Widened rows.
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `x wᵀ`: `x`, `[n, in]`, by `w`, `[out, in]`, to `[n, out]`, on all cores when there is enough to share.
pub(in super::super) fn linear_half<N: Narrow>(w: &[N], x: &[f32], inputs: usize) -> Vec<f32> {
    let (n, outputs) = (x.len() / inputs, w.len() / inputs);
    if n == 1 {
        let mut y = vec![0f32; outputs];
        let block = |(y, w): (&mut [f32], &[N])| {
            widened(w, |w| {
                wide(Dots { w, x, y });
            });
        };
        if w.len() < WORTH_SHARING {
            y.chunks_mut(ROWS).zip(w.chunks(ROWS * inputs)).for_each(block);
        } else {
            y.par_chunks_mut(ROWS).zip(w.par_chunks(ROWS * inputs)).for_each(block);
        }
        return y;
    }
    let block = |w: &[N]| -> Vec<f32> {
        let rows = w.len() / inputs;
        let mut y = vec![0f32; n * rows];
        widened(w, |w| {
            let views = (View::rows(0, inputs), View::rows(0, inputs).t());
            matmul(
                [n, rows, inputs],
                (&mut y, View::rows(0, rows)),
                (x, views.0),
                (w, views.1),
                false,
            );
        });
        y
    };
    let blocks: Vec<Vec<f32>> = w.par_chunks(ROWS * inputs).map(block).collect();
    let mut y = Vec::with_capacity(n * outputs);
    for i in 0..n {
        for block in &blocks {
            let rows = block.len() / n;
            y.extend_from_slice(&block[i * rows..(i + 1) * rows]);
        }
    }
    y
}

fn widened<N: Narrow>(w: &[N], f: impl FnOnce(&[f32])) {
    WIDE.with_borrow_mut(|buffer| {
        buffer.resize(w.len(), 0.0);
        N::widen(w, buffer);
        f(buffer);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    fn agrees<N: Narrow>(narrow: impl Fn(f32) -> N, widen: impl Fn(N) -> f32) {
        for (n, inputs, outputs) in [
            (1, 7, 3),
            (1, 96, 200),
            (1, 640, 700),
            (2, 33, 65),
            (9, 64, 130),
            (70, 48, 64),
        ] {
            let (x, w) = (numbers(n * inputs, 1), numbers(outputs * inputs, 2));
            let w: Vec<N> = w.into_iter().map(&narrow).collect();
            let y = linear_half(&w, &x, inputs);
            assert_eq!(y.len(), n * outputs);
            for i in 0..n {
                for o in 0..outputs {
                    let exact: f64 = (0..inputs)
                        .map(|k| f64::from(x[i * inputs + k]) * f64::from(widen(w[o * inputs + k])))
                        .sum();
                    let found = f64::from(y[i * outputs + o]);
                    assert!(
                        (found - exact).abs() < 1e-4,
                        "{n}, {inputs}, {outputs}: row {i}, {o}: {found} for {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn products_are_those_of_the_widened_weights() {
        agrees(f16::from_f32, f32::from);
        agrees(bf16::from_f32, f32::from);
    }
}
