//! The GPU runner without burn: the known answer, on the twins and on every adapter of this computer.
#![allow(clippy::unwrap_used)]

use folio_engine::checkpoint::{StoredType, TensorSpec, tensors};
use folio_engine::config::Config;
use folio_engine::gpu::{
    Formula, GpuOptions, GpuRunner, Limits, Machine, MemoryPlan, Style, TensorSource, TwinMachine, WgpuMachine,
    self_test,
};
use folio_engine::session::self_test as known;
use folio_engine::{Result, Wait};
use std::borrow::Cow;
use std::ops::Range;

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

/// Zeros, stored as a function says.
struct Zeros<F>(F);

impl<F: Fn(&TensorSpec) -> StoredType> TensorSource for Zeros<F> {
    fn stored_type(&self, spec: &TensorSpec) -> Result<StoredType> {
        Ok((self.0)(spec))
    }

    fn rows(&self, spec: &TensorSpec, rows: Range<usize>) -> Result<Cow<'_, [u8]>> {
        let bytes = (self.0)(spec).row_bytes(spec.columns()).unwrap();
        Ok(Cow::Owned(vec![0; rows.len() * bytes]))
    }

    fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>> {
        Ok(vec![0.0; spec.elements()])
    }
}

/// Rows of whole blocks of every type.
fn of_blocks() -> Config {
    let mut config = known::config();
    let text = &mut config.text;
    (text.hidden_size, text.intermediate_size) = (256, 512);
    (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (4, 2, 64);
    let vision = &mut config.fold.as_mut().unwrap().vision;
    (vision.hidden_size, vision.intermediate_size) = (256, 256);
    config
}

/// What the plan says of the weights, which must be what lies on the machine.
fn planned(config: &Config, stored: impl Fn(&TensorSpec) -> StoredType + 'static) -> u64 {
    let source = Zeros(stored);
    let plan = MemoryPlan::new(config, &source, 64).unwrap();
    let machine = TwinMachine::new(Style::Plain, LIMITS);
    let runner = GpuRunner::new(machine, config, Box::new(source), 64, &mut |_, _| {})
        .wait()
        .unwrap();
    let counts = runner.machine().counts();
    let most = plan.total() + 16 * counts.buffers;
    assert!(
        (plan.total()..=most).contains(&counts.buffer_bytes),
        "{counts:?}, {plan:?}"
    );
    plan.weights
}

#[test]
fn the_plan_is_what_weights_take_however_they_are_stored() {
    let config = of_blocks();
    let matrices = tensors(&config).into_iter().filter(TensorSpec::is_matrix);
    let values: usize = matrices.map(|spec| spec.elements()).sum();
    let in_type = |stored: StoredType| planned(&config, move |spec| stored.of(spec));
    let f32s = in_type(StoredType::F32);
    assert_eq!(f32s - in_type(StoredType::BF16), 2 * values as u64);
    assert_eq!(f32s - in_type(StoredType::F16), 2 * values as u64);
    // q4_1 lies there as f16, q5_0 as q8_0.
    assert_eq!(in_type(StoredType::Q4_1), in_type(StoredType::F16));
    assert_eq!(in_type(StoredType::Q5_0), in_type(StoredType::Q8_0));
    assert!(in_type(StoredType::Q4_0) < in_type(StoredType::Q8_0));
    // Types that differ within what lies together: all of it is f32 then.
    let mixed = planned(&config, |spec| {
        match ["v_proj.weight", "up_proj.weight"]
            .iter()
            .any(|end| spec.name.ends_with(end))
        {
            true => StoredType::F32,
            false => StoredType::BF16.of(spec),
        }
    });
    let together = [
        "q_proj.weight",
        "k_proj.weight",
        "v_proj.weight",
        "gate_proj.weight",
        "up_proj.weight",
    ];
    let widened = tensors(&config)
        .into_iter()
        .filter(|spec| together.iter().any(|end| spec.name.ends_with(end)));
    let widened: usize = widened.map(|spec| spec.elements()).sum();
    assert_eq!(mixed - in_type(StoredType::BF16), 2 * widened as u64);
}
