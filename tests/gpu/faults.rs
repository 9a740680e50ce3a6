//! What happens when things go wrong: lost devices, too little memory, weights and adapters that compute nonsense.

use crate::adapter::{Adapter, each};
use folio_engine::Wait;
use folio_engine::checkpoint::TensorSpec;
use folio_engine::config::Config;
use folio_engine::gpu::{Formula, GpuRunner, MemoryPlan, Style, WgpuMachine, self_test};
use folio_engine::page::Tint;
use folio_engine::runner::{DrawRequest, Runner, Want};
use folio_engine::session::{Event, Sampling};
use folio_engine::{Error, Result};
use folio_tests::machines::{Control, Faults, Faulty};
use folio_tests::script::{Op, apply, deviation};
use folio_tests::story::{self, Story};
use folio_tests::{models, now};

const PROMPT: &str = "The rain fell on the town, and nobody spoke.";

/// A tiny session on `adapter`; what it told, and how many runs had been started at each token and fold.
fn tell(adapter: &Adapter, config: &Config, control: &Control) -> (Result<Story>, Vec<(bool, u64)>) {
    let machine = Faulty::new(adapter.open(Style::Serial), control);
    let runner = Box::new(models::on(machine, config, 5));
    let mut at = Vec::new();
    let sampling = Sampling {
        temperature: 0.7,
        seed: 9,
        ..Sampling::default()
    };
    let told = story::tell(
        runner,
        &story::bytes(),
        PROMPT,
        40,
        sampling,
        &mut |event| match event {
            Event::Token { .. } => at.push((false, control.state().runs)),
            Event::Folded { .. } => at.push((true, control.state().runs)),
            _ => {}
        },
    );
    (told, at)
}

#[test]
fn a_lost_device_changes_no_token() {
    each("a_lost_device_changes_no_token", |adapter| {
        let mut config = models::base();
        config.text.num_hidden_layers = 1;
        let whole = Control::default();
        let (right, at) = tell(adapter, &config, &whole);
        let right = right.unwrap();
        let first_token = at.iter().position(|(fold, _)| !fold).unwrap();
        let fold = at.iter().skip(first_token).position(|(fold, _)| *fold).unwrap() + first_token;
        assert!(right.folds.iter().filter(|&&at| at > 0).count() >= 2, "{right:?}");
        let total = whole.state().runs;
        let (reading, folded) = (at[first_token].1, at[fold].1);
        // While the prompt is read, at the first draw, while writing, around a fold, at the end; and twice in a row, so
        // that the second is lost while the first is made good.
        let points = [
            vec![1],
            vec![reading],
            vec![reading + 3],
            vec![folded - 1],
            vec![folded],
            vec![folded + 1],
            vec![total],
            vec![folded, folded + 1, folded + 2],
        ];
        for losses in points {
            let control = Control::new(Faults {
                lose_before_run: losses.iter().copied().collect(),
                ..Faults::default()
            });
            let (found, _) = tell(adapter, &config, &control);
            let what = format!("{}, lost at runs {losses:?} of {total}", adapter.report.name);
            let found = found.unwrap_or_else(|e| panic!("{what}: {e}"));
            // A loss that is noticed only at the next run may be one with the loss there.
            let renewals = control.state().renewals as usize;
            let expected = losses.len().min(2)..=losses.len();
            assert!(expected.contains(&renewals), "{what}: {renewals} devices made anew");
            story::same(&found, &right, &what);
        }
    });
}

#[test]
fn a_device_that_is_lost_again_and_again_ends_with_one_error() {
    each("a_device_that_is_lost_again_and_again_ends_with_one_error", |adapter| {
        let mut config = models::base();
        config.text.num_hidden_layers = 1;
        let control = Control::new(Faults {
            lose_from_run: Some(4),
            ..Faults::default()
        });
        let (told, _) = tell(adapter, &config, &control);
        let error = told.unwrap_err();
        assert!(matches!(error, Error::DeviceLost(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("lost") && text.lines().count() == 1, "{text:?}");
        assert!((1..=20).contains(&control.state().renewals), "{:?}", control.state());
    });
}

#[test]
fn too_little_memory_is_refused_with_the_numbers_before_anything_is_made() {
    each(
        "too_little_memory_is_refused_with_the_numbers_before_anything_is_made",
        |adapter| {
            let config = models::base();
            let plan = MemoryPlan::new(&config, models::source(&config, 1).as_ref(), 1024).unwrap();
            let open = |memory: u64| {
                let control = Control::new(Faults {
                    memory_bytes: Some(memory),
                    ..Faults::default()
                });
                let machine = Faulty::new(adapter.open(Style::Serial), &control);
                let runner = GpuRunner::new(machine, &config, models::source(&config, 1), 0, &mut |_, _| {}).wait();
                (runner, control)
            };
            let (refused, control) = open(plan.total() - 1);
            let error = refused.unwrap_err().to_string();
            let mib = |bytes: u64| format!("{} ", bytes.div_ceil(1 << 20));
            for number in [plan.total(), plan.weights, plan.kv, plan.scratch] {
                assert!(error.contains(&mib(number)), "{number}: {error}");
            }
            assert!(
                error.contains("1024 slots") && error.contains("shorter text"),
                "{error}"
            );
            assert_eq!(control.state().created, 0, "buffers made before the refusal");

            // With just enough it runs, and takes what the plan says: buffers are rounded up to 16 bytes.
            let (runner, control) = open(plan.total());
            let mut runner = runner.unwrap();
            let counts = runner.counts().unwrap();
            let most = plan.total() + 16 * counts.buffers;
            assert!(
                (plan.total()..=most).contains(&counts.buffer_bytes),
                "{counts:?}, {plan:?}"
            );
            assert_eq!(counts.kv_bytes, plan.kv);
            let created = control.state().created;
            // Growing over the limit is refused, too, and the context stays.
            runner.extend(&vec![5; 1000], Want::Nothing).wait().unwrap();
            let before = runner.context().clone();
            let error = runner.extend(&[6; 100], Want::Last).wait().unwrap_err().to_string();
            assert!(error.contains("MiB are there"), "{error}");
            assert_eq!((runner.context(), control.state().created), (&before, created));
        },
    );
}

#[test]
fn models_that_go_leave_nothing_behind() {
    each("models_that_go_leave_nothing_behind", |adapter| {
        let config = models::base();
        let mut machine = adapter.open(Style::Serial);
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut runner = models::on(machine, &config, 1);
            runner.extend(&[0, 1, 2], Want::Last).wait().unwrap();
            held.push((runner.counts().unwrap().buffers, runner.counts().unwrap().buffer_bytes));
            machine = runner.into_machine();
            let counts = folio_engine::gpu::Machine::counts(&machine);
            assert_eq!((counts.buffers, counts.buffer_bytes), (0, 0));
        }
        assert!(held.iter().all(|h| *h == held[0]), "{held:?}");
    });
}

/// `models::base` with a value of one tensor replaced by NaN.
fn with_nan(machine: WgpuMachine, tensor: &'static str, at: fn(&TensorSpec) -> usize) -> GpuRunner<WgpuMachine> {
    let config = models::base();
    let weights = config.clone();
    let source = Formula(move |spec: &TensorSpec| {
        let mut values = models::weights(&weights, spec, 1);
        if spec.name.ends_with(tensor) {
            values[at(spec)] = f32::NAN;
        }
        values
    });
    GpuRunner::new(machine, &config, Box::new(source), 0, &mut |_, _| {})
        .wait()
        .unwrap()
}

#[test]
fn weights_that_are_no_numbers_are_told() {
    each("weights_that_are_no_numbers_are_told", |adapter| {
        let mut runner = with_nan(adapter.open(Style::Serial), "model.norm.weight", |_| 7);
        for want in [Want::Last, Want::All] {
            let error = runner.extend(&[0, 1], want).wait().unwrap_err();
            assert!(matches!(error, Error::NotFinite(_)), "{error}");
            assert_eq!(runner.context().slots(), 0);
        }
        runner.extend(&[0, 1], Want::Kept).wait().unwrap();
        let error = runner.draw(&DrawRequest::greedy()).wait().unwrap_err();
        assert!(matches!(error, Error::NotFinite(_)), "{error}");
    });
}

#[test]
fn an_error_leaves_the_context_as_it_was() {
    // The last patch's position is no number: short pages fold, full ones fail.
    let last = |spec: &TensorSpec| spec.elements() - 1;
    let short = |text: &str, want| Op::Fold(vec![(text.into(), Tint::White)], want);
    let full = Op::Fold(vec![("x".repeat(32), Tint::White)], Want::Last);
    let text = |ids: &[u32], want| Op::Text(ids.to_vec(), want);
    each("an_error_leaves_the_context_as_it_was", |adapter| {
        let mut runner = with_nan(adapter.open(Style::Serial), "position_embedding.weight", last);
        let good = [
            text(&[0], Want::Nothing),
            Op::Keep,
            text(&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], Want::Nothing),
            text(&[30, 31], Want::Last),
            short("abc", Want::Last),
            text(&[40, 41, 42], Want::All),
        ];
        let mut play = |bad: &[&Op]| {
            runner.reset();
            let mut all = Vec::new();
            for op in &good {
                for bad in bad {
                    let before = runner.context().clone();
                    let error = apply(&mut runner, bad).unwrap_err();
                    assert_eq!(runner.context(), &before, "{bad:?}: {error}");
                }
                all.push(apply(&mut runner, op).unwrap());
            }
            all
        };
        let right = play(&[]);
        let unknown = text(&[5, 258], Want::Last);
        let too_long = text(&vec![5; 3001], Want::Last);
        let too_many = Op::Fold(vec![("x".repeat(32), Tint::White); 376], Want::Last);
        for bad in [&full, &unknown, &too_long, &too_many] {
            for (a, b) in play(&[bad]).iter().zip(&right) {
                let off = deviation(a, b);
                assert!(off < 1e-6, "{}: off by {off:e} after an error", adapter.report.name);
            }
        }
    });
}

#[test]
fn an_adapter_with_wrong_numerics_is_refused() {
    each("an_adapter_with_wrong_numerics_is_refused", |adapter| {
        let control = Control::default();
        let (machine, worst) = self_test(Faulty::new(adapter.open(Style::Serial), &control))
            .wait()
            .unwrap();
        assert!(worst < 1e-4, "off by {worst:e}");
        for by in [1.01, f32::NAN] {
            control.state().falsify = Some(by);
            let error = self_test(Faulty::new(adapter.open(Style::Serial), &control))
                .wait()
                .unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("computes wrongly") || matches!(error, Error::NotFinite(_)),
                "{text}"
            );
        }
        drop(machine);
        let error = now(WgpuMachine::open_at(99, crate::adapter::options())).unwrap_err();
        assert!(error.to_string().contains("99"), "{error}");
    });
}
