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
    let mut told = Vec::new();
    for reread in [0, 5] {
        let mut config = models::base();
        config.fold.as_mut().unwrap().reread_tokens = reread;
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
        told.push(right.logprobs);
    }
    assert_ne!(told[0], told[1], "what is read again is seen");
}

const LONG: &str =
    "It was a dark night. The captain counted the barrels; the mate counted them again, and wrote it down.";

#[test]
fn unfolding_on_the_twins_reads_the_pages_that_burn_reads() {
    let config = models::base();
    for style in [Style::Serial, Style::Plain] {
        for unfold in [1, 2] {
            let tell = |runner| {
                let (tokenizer, sampling) = (story::bytes(), Sampling::default());
                story::tell_unfolding(runner, &tokenizer, LONG, 50, sampling, unfold, &mut |_| {})
            };
            let right = tell(models::cpu(&config, 5)).unwrap();
            let machine = TwinMachine::new(style, models::FLOOR);
            let found = tell(Box::new(models::on(machine, &config, 5))).unwrap();
            assert!(right.unfolds.len() >= 3, "{right:?}");
            story::same(&found, &right, "unfolding on twins");
        }
    }
}

#[test]
fn what_is_asked_for_on_the_twins_is_what_burn_says_and_nothing_runs_while_it_is_off() {
    use folio_engine::runner::Runner;
    use folio_engine::{Wait, runner::Want};
    let config = models::base();
    let mut right = models::cpu(&config, 5);
    let mut found = models::on(TwinMachine::new(Style::Plain, models::FLOOR), &config, 5);
    let launches = |runner: &folio_engine::gpu::GpuRunner<TwinMachine>| runner.counts().unwrap();
    let before = launches(&found).buffers;
    let fold = config.fold.as_ref().unwrap();
    let pages = folio_engine::page::PageRenderer::new(fold, folio_engine::page::FontStack::embedded());
    let pages: Vec<_> = ["the first page", "second", "and a third"]
        .map(|text| pages.render(text, folio_engine::page::Tint::White))
        .into();
    let mut asked = Vec::new();
    for runner in [right.as_mut() as &mut dyn Runner, &mut found] {
        runner.watch_pages(true).unwrap();
        runner.extend(&[0], Want::Nothing).wait().unwrap();
        runner.keep_open();
        assert!(runner.pages_asked().wait().unwrap().is_empty());
        runner.fold(&pages, Want::Nothing).wait().unwrap();
        runner.extend(&[40, 41, 42], Want::Nothing).wait().unwrap();
        runner.extend(&[43], Want::Kept).wait().unwrap();
        let first = runner.pages_asked().wait().unwrap();
        runner.fold(&pages[..1], Want::Nothing).wait().unwrap();
        runner.extend(&[44; 20], Want::Nothing).wait().unwrap();
        let second = runner.pages_asked().wait().unwrap();
        runner.drop_open();
        runner.unfold(&[50, 51], Want::Last).wait().unwrap();
        let after = runner.pages_asked().wait().unwrap();
        assert_eq!(after, [0.0; 4]);
        runner.watch_pages(false).unwrap();
        runner.extend(&[52], Want::Nothing).wait().unwrap();
        assert_eq!(runner.pages_asked().wait().unwrap(), [0.0; 4]);
        asked.push([first, second].concat());
    }
    assert_eq!((asked[0].len(), asked[1].len()), (3 + 4, 3 + 4));
    for (found, right) in asked[1].iter().zip(&asked[0]) {
        assert!((found - right).abs() < 1e-4 * right.max(1.0), "{found} for {right}");
    }
    assert!(asked[0][..3].iter().all(|&asked| asked > 0.0));
    assert_eq!(
        launches(&found).buffers,
        before + 2,
        "two small buffers, made when they are wanted"
    );
}

#[test]
fn a_lost_device_changes_no_token_while_pages_are_read_again() {
    let mut config = models::base();
    config.text.num_hidden_layers = 1;
    let tell = |faults: Faults| {
        let control = Control::new(faults);
        let machine = Faulty::new(TwinMachine::new(Style::Plain, models::FLOOR), &control);
        let runner = Box::new(models::on(machine, &config, 5));
        let sampling = Sampling {
            temperature: 0.7,
            seed: 9,
            ..Sampling::default()
        };
        let told = story::tell_unfolding(runner, &story::bytes(), LONG, 40, sampling, 2, &mut |_| {}).unwrap();
        let state = control.state();
        (told, state.runs, state.renewals)
    };
    let (right, runs, _) = tell(Faults::default());
    assert!(right.unfolds.len() >= 2, "{right:?}");
    for at in (2..=runs).step_by(3) {
        let (found, _, renewals) = tell(Faults {
            lose_before_run: [at].into(),
            ..Faults::default()
        });
        assert_eq!(renewals, 1, "lost before run {at}");
        assert_eq!(found.tokens, right.tokens, "lost before run {at}");
        // What was read again before the loss is not told once more.
        assert_eq!(found.unfolds, right.unfolds, "lost before run {at}");
    }
}
