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
use std::path::{Path, PathBuf};
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

/// The house's recipe, of which every new kernel costs seconds to compile: a step of reading and two of writing on, on windows of
/// one length, and no validation. Without `reading` only the latter.
fn short(recipe: &Path, reading: bool) -> PathBuf {
    let text = std::fs::read_to_string(recipe).unwrap();
    let text = text
        .replace("steps = 3", "steps = 1")
        .replace("steps = 6", "steps = 2")
        .replace("chunks = [1, 3]", "chunks = 2");
    let valid = text.lines().find(|line| line.starts_with("valid")).unwrap();
    let text = text.replace(valid, "");
    let mut parts: Vec<&str> = text.split("[[stage]]").collect();
    if !reading {
        parts.remove(1);
    }
    let path = recipe.with_file_name(format!("short-{reading}.toml"));
    std::fs::write(&path, parts.join("[[stage]]")).unwrap();
    path
}

#[test]
fn wgpu_learns_what_the_cpu_learns() {
    let (dir, recipe) = house::house();
    let losses = |device: Device, reading: bool, again: bool, out: &str| {
        let recipe = short(&recipe, reading);
        let mut setup = prepare(&recipe, Some(&dir.path().join(out)), false, &|_| {}).unwrap();
        setup.recipe.activation_checkpointing = again;
        let mut losses = Losses::default();
        train_on(device, setup, &Alone, &AtomicBool::new(false), &mut losses).unwrap();
        losses.0
    };
    for (reading, again, steps) in [(true, false, 3), (false, true, 2)] {
        let out = |name: &str| format!("{name}-{again}");
        let cpu = losses(Device::Cpu, reading, again, &out("cpu"));
        let wgpu = losses(Device::Wgpu, reading, again, &out("wgpu"));
        assert_eq!((cpu.len(), wgpu.len()), (steps, steps));
        for (step, (cpu, wgpu)) in cpu.iter().zip(&wgpu).enumerate() {
            for (cpu, wgpu) in cpu.iter().zip(wgpu) {
                assert_eq!(cpu.is_some(), wgpu.is_some(), "step {step}");
                let (cpu, wgpu) = (cpu.unwrap_or(0.0), wgpu.unwrap_or(0.0));
                assert!(
                    (cpu - wgpu).abs() < 2e-3 * cpu.max(1.0),
                    "step {step}: {cpu} on the CPU, {wgpu} on wgpu, computed again: {again}"
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
