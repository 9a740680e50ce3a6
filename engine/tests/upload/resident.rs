//! The memory of the whole process while wgpu takes the weights: what waits in its staging buffers is no Rust allocation.

use super::sources::Made;
use super::{MARGIN, alone, config, sizes};
use folio_engine::Wait;
use folio_engine::checkpoint::{StoredType, tensors};
use folio_engine::config::Config;
use folio_engine::gpu::{GpuOptions, GpuRunner, MemoryPlan, WgpuMachine};

/// A figure of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

fn load(machine: WgpuMachine, config: &Config, stored: StoredType) -> WgpuMachine {
    let runner = GpuRunner::new(machine, config, Box::new(Made(stored)), 64, &mut |_, _| {})
        .wait()
        .unwrap();
    runner.into_machine()
}

#[test]
fn wgpu_takes_one_tensor_and_a_little_of_the_host() {
    let _turn = alone();
    let (config, stored) = (config(), StoredType::F32);
    let (largest, all) = sizes(&config, stored);
    let (biggest, vectors) = (largest + MARGIN, tensors(&config).len());
    let options = GpuOptions {
        allow_software: true,
        ..GpuOptions::default()
    };
    let machine = WgpuMachine::open(options).wait().unwrap();
    let software = machine.report().software;
    // Kernels are compiled for the first model, and stay.
    let mut small = config.clone();
    small.text.num_hidden_layers = 1;
    let machine = load(machine, &small, stored);

    // The peak starts again from what is held now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    drop(load(machine, &config, stored));
    let peak = status("VmHWM:");
    // What a software adapter holds is memory of this process, too.
    let weights = MemoryPlan::new(&config, &Made(stored), 64).unwrap().weights as usize;
    let device = if software { weights } else { 0 };
    println!("{all} bytes in {vectors} tensors: {before} bytes before, {peak} at most, {device} of them the device's");
    assert!(peak > before + device / 2, "the peak says nothing: {before}, {peak}");
    assert!(peak <= before + device + biggest, "{before}, then {peak}");
}
