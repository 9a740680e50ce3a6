//! `--device wgpu` against the CPU: the same code, another backend type. Only with feature `wgpu`; needs an adapter
//! (on Debian: mesa-vulkan-drivers).
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

#[path = "run/house.rs"]
mod house;

use folio_trainer::device::{Device, train_on};
use folio_trainer::metrics::{EvalLine, TrainLine};
use folio_trainer::run::Reporter;
use folio_trainer::setup::prepare;
use folio_trainer::team::Alone;
use std::path::Path;
use std::sync::atomic::AtomicBool;

#[derive(Default)]
struct Losses(Vec<[Option<f64>; 3]>);

impl Reporter for Losses {
    fn step(&mut self, _done: u64, _line: &TrainLine) {}
    fn logged(&mut self, line: &TrainLine) {
        self.0.push([line.loss, line.ocr_loss, line.cells_loss]);
    }
    fn evaluated(&mut self, _line: &EvalLine) {}
    fn saved(&mut self, _checkpoint: &Path) {}
}

#[test]
fn wgpu_learns_what_the_cpu_learns() {
    let (dir, recipe) = house::house();
    let losses = |device: Device, again: bool, out: &str| {
        let mut setup = prepare(&recipe, Some(&dir.path().join(out)), false, &|_| {}).unwrap();
        setup.recipe.activation_checkpointing = again;
        let mut losses = Losses::default();
        train_on(device, setup, &Alone, &AtomicBool::new(false), &mut losses).unwrap();
        losses.0
    };
    let cpu = losses(Device::Cpu, false, "cpu");
    assert_eq!(cpu.len(), 9);
    for (again, out) in [(false, "wgpu"), (true, "again")] {
        let wgpu = losses(Device::Wgpu, again, out);
        for (step, (cpu, wgpu)) in cpu.iter().zip(&wgpu).enumerate() {
            for (cpu, wgpu) in cpu.iter().zip(wgpu) {
                assert_eq!(cpu.is_some(), wgpu.is_some(), "step {step}");
                let (cpu, wgpu) = (cpu.unwrap_or(0.0), wgpu.unwrap_or(0.0));
                assert!(
                    (cpu - wgpu).abs() < 2e-3 * cpu.max(1.0),
                    "step {step}: {cpu} on the CPU, {wgpu} on {out}"
                );
            }
        }
    }
}

#[test]
fn sixteen_bits_are_refused_before_anything_is_trained() {
    let (dir, recipe) = house::house();
    let mut setup = prepare(&recipe, Some(&dir.path().join("run")), false, &|_| {}).unwrap();
    setup.recipe.precision = folio_trainer::compute::Precision::Bf16;
    let outcome = train_on(
        Device::Wgpu,
        setup,
        &Alone,
        &AtomicBool::new(false),
        &mut Losses::default(),
    );
    assert!(outcome.unwrap_err().to_string().contains("bf16"));
    assert!(!dir.path().join("run/metrics.jsonl").exists());
}
