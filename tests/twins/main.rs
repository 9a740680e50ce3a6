//! The GPU runner's whole program on the plain-Rust twins of its kernels, against the burn runner: needs no adapter.
#![allow(clippy::unwrap_used)]

use folio_engine::gpu::{Style, TwinMachine};
use folio_engine::session::Sampling;
use folio_tests::machines::{Control, Faults, Faulty};
use folio_tests::{models, script, story};

#[test]
fn the_program_on_the_twins_is_the_burn_model() {
    for (i, (name, config)) in models::all().iter().enumerate() {
        let mut right = models::cpu(config, 7);
        for (j, style) in Style::ALL.into_iter().enumerate() {
            let machine = TwinMachine::new(style, models::FLOOR);
            let mut runner = models::on(machine, config, 7);
            let ops = script::random(config, (10 * i + j) as u64, 12);
            let what = format!("{name}, twins ({style})");
            let worst = script::follow(&mut runner, right.as_mut(), &ops, &what);
            println!("{what}: off by {worst:e}");
            assert!(worst < 1e-4, "{what}: off by {worst:e}: larger than rounding explains");
        }
    }
}

#[test]
fn matrices_in_shards_are_the_same_matrices() {
    let (config, binding_bytes) = models::wide();
    let control = Control::new(Faults {
        binding_bytes: Some(binding_bytes),
        ..Faults::default()
    });
    let machine = Faulty::new(TwinMachine::new(Style::Plain, models::FLOOR), &control);
    let mut runner = models::on(machine, &config, 3);
    let whole = models::on(TwinMachine::new(Style::Plain, models::FLOOR), &config, 3);
    let (shards, one) = (buffers(&runner), buffers(&whole));
    assert!(
        shards >= one + 3,
        "{shards} buffers, {one} without a limit: nothing was cut"
    );
    let ops = [
        script::Op::Text(vec![0, 999, 5, 700], folio_engine::runner::Want::All),
        script::Op::Fold(
            vec![("ab".into(), folio_engine::page::Tint::White)],
            folio_engine::runner::Want::Last,
        ),
        script::Op::Text(vec![3, 4, 500, 6, 7, 998], folio_engine::runner::Want::All),
    ];
    script::follow(&mut runner, models::cpu(&config, 3).as_mut(), &ops, "shards");
}

fn buffers<M: folio_engine::gpu::Machine>(runner: &folio_engine::gpu::GpuRunner<M>) -> u64 {
    runner.machine().counts().buffers
}

#[test]
fn sessions_on_the_twins_write_what_sessions_on_burn_write() {
    let config = models::base();
    let tell = |runner| {
        story::tell(
            runner,
            &story::bytes(),
            "It was a dark night.",
            60,
            Sampling::default(),
            &mut |_| {},
        )
    };
    let right = tell(models::cpu(&config, 5)).unwrap();
    let machine = TwinMachine::new(Style::Serial, models::FLOOR);
    let found = tell(Box::new(models::on(machine, &config, 5))).unwrap();
    assert!(right.folds.iter().filter(|&&at| at > 0).count() >= 2, "{right:?}");
    story::same(&found, &right, "twins");
}
