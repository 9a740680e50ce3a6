//! The GPU runner without burn: the known answer, on the twins and on every adapter of this computer.

use folio_engine::Wait;
use folio_engine::gpu::{Formula, GpuOptions, GpuRunner, Limits, Style, TwinMachine, WgpuMachine, self_test};
use folio_engine::session::self_test as known;

const LIMITS: Limits = Limits {
    binding_bytes: 128 << 20,
    memory_bytes: None,
    grid: 65_535,
};

/// Waits for a future that is ready at once outside a browser.
fn now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a future of wgpu waits"),
    }
}

#[test]
fn the_twins_give_the_known_answer() {
    for style in Style::ALL {
        let machine = TwinMachine::new(style, LIMITS);
        let source = Box::new(Formula(known::weights));
        let mut runner = GpuRunner::new(machine, &known::config(), source, 0, &mut |_, _| {})
            .wait()
            .unwrap();
        let worst = known::check(&mut runner).wait().unwrap();
        assert!(worst < 1e-4, "{style}: off by {worst}");
    }
}

#[test]
fn every_adapter_gives_the_known_answer_in_every_style() {
    let adapters = now(WgpuMachine::adapters());
    assert!(!adapters.is_empty(), "no adapter: apt-get install mesa-vulkan-drivers");
    let mut ran = 0;
    for (i, adapter) in adapters.iter().enumerate() {
        for style in Style::ALL {
            if style.subgroups() && !adapter.subgroups {
                continue;
            }
            let options = GpuOptions {
                allow_software: true,
                style: Some(style),
                checked: true,
                poison: true,
                ..GpuOptions::default()
            };
            let machine = now(WgpuMachine::open_at(i, options)).unwrap();
            let (_, worst) = self_test(machine).wait().unwrap();
            assert!(worst < 1e-4, "{} {style}: off by {worst}", adapter.name);
            ran += 1;
        }
    }
    assert!(ran > 0);
}
