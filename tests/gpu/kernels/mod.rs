//! Every kernel against its plain-Rust twin, on random shapes and contents, in every variant that the adapter can do.

mod attention;
mod linear;
mod pages;
mod rows;
mod sample;
mod values;

use crate::adapter::each;
use folio_engine::gpu::{Buffer, Machine, Recording, Slice, Style, WgpuMachine};
use folio_shaders::twins::{self, Data};
use folio_shaders::{Access, Call};
use folio_tests::now;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;
use std::fmt::Debug;

/// A launch: a kernel with the contents of its buffers.
struct Launch {
    call: Call<Vec<u32>>,
    grid: [usize; 3],
}

/// What a launch left in the buffers that it writes, by the kernel on a machine and by its twin.
struct Outcome {
    /// Content before, on the machine after, by the twin after: per written binding.
    written: Vec<[Vec<u32>; 3]>,
}

fn failed(what: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(what.to_string())
}

fn play(machine: &mut WgpuMachine, launch: &Launch) -> Result<Outcome, TestCaseError> {
    let kernel = launch.call.kernel;
    let grid = launch.grid.map(|n| n as u32);
    let mut twin = launch.call.bindings.clone();
    let mut data: Vec<Data<'_>> = Vec::new();
    for (binding, words) in kernel.bindings.iter().zip(&mut twin) {
        data.push(match binding.access {
            Access::Read => Data::Read(words),
            Access::ReadWrite => Data::Write(words),
        });
    }
    twins::run(kernel, &launch.call.params, &mut data, grid).map_err(failed)?;

    let mut buffers: Vec<Buffer> = Vec::new();
    for (binding, words) in kernel.bindings.iter().zip(&launch.call.bindings) {
        let buffer = machine.create(binding.name, 4 * words.len() as u64).map_err(failed)?;
        machine.upload(buffer, 0, bytemuck::cast_slice(words)).map_err(failed)?;
        buffers.push(buffer);
    }
    let mut recording = Recording::default();
    let call = Call {
        kernel,
        params: launch.call.params.clone(),
        bindings: buffers.clone(),
    };
    recording.dispatch(call, launch.grid);
    let mut written = Vec::new();
    for (i, binding) in kernel.bindings.iter().enumerate() {
        if binding.access == Access::ReadWrite {
            let before = launch.call.bindings[i].clone();
            let slice = Slice {
                buffer: buffers[i],
                offset: 0,
                bytes: 4 * before.len() as u64,
            };
            let bytes = now(machine.run(&std::mem::take(&mut recording), Some(slice))).map_err(failed)?;
            written.push([
                before,
                bytemuck::pod_collect_to_vec(&bytes),
                std::mem::take(&mut twin[i]),
            ]);
        }
    }
    for buffer in buffers {
        machine.free(buffer);
    }
    Ok(Outcome { written })
}

/// The kernel must leave what its twin leaves: the same words, or floats that differ by at most `tolerance` of the largest
/// that was written; and nothing where the twin writes nothing.
fn check(machine: &mut WgpuMachine, launch: &Launch, tolerance: f32) -> Result<(), TestCaseError> {
    let label = launch.call.kernel.label;
    for [before, found, right] in play(machine, launch)?.written {
        let changed = before.iter().zip(&right).filter(|(a, b)| a != b);
        let most = changed.map(|(_, b)| f32::from_bits(*b).abs()).fold(0.0, f32::max);
        for (i, (a, b)) in found.iter().zip(&right).enumerate() {
            let off = (f32::from_bits(*a) - f32::from_bits(*b)).abs();
            if a != b && (off > tolerance * most || off.is_nan()) {
                let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
                return Err(failed(format!(
                    "{label}: word {i} is {a}, its twin says {b} (largest {most})"
                )));
            }
        }
    }
    Ok(())
}

/// Runs `test` on random cases on every adapter, with the styles that it can do. The cases are the same every time.
fn property<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: impl Fn(BoxedStrategy<Style>) -> S,
    test: impl Fn(&mut WgpuMachine, S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: Debug,
{
    each(name, |adapter| {
        // One machine plays kernels of any style.
        let machine = RefCell::new(adapter.open(Style::Serial));
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 300,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let styles = proptest::sample::select(adapter.styles()).boxed();
        let run = runner.run(&strategy(styles), |case| test(&mut machine.borrow_mut(), case));
        if let Err(e) = run {
            panic!("{name}, {}: {e}", adapter.report.name);
        }
    });
}
