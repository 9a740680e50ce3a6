//! Stopping and resuming changes nothing, and every stage trains what it should.

use crate::house::{Watch, house, ready, tiny};
use folio_trainer::metrics::TrainLine;
use folio_trainer::run::Outcome;
use std::path::Path;

fn bytes(out: &Path, file: &str) -> Vec<u8> {
    std::fs::read(out.join("step_000009").join(file)).unwrap()
}

/// Asserts that a run in parts ended where the whole one did, bit for bit, and told the same on the way.
fn same(whole: &Path, one: &Watch, parts: &Path, other: &Watch, how: &str) {
    for file in ["model.safetensors", "optimizer.safetensors"] {
        assert!(bytes(whole, file) == bytes(parts, file), "{file} differs when {how}");
    }
    let told = |watch: &Watch| -> Vec<_> {
        let of = |(step, line): &(u64, TrainLine)| {
            let losses = [
                line.loss,
                line.ocr_loss,
                line.cells_loss,
                line.directions_loss,
                line.next_loss,
            ];
            (*step, losses, line.lr, line.tokens)
        };
        watch.losses.iter().map(of).collect()
    };
    assert_eq!(told(one), told(other), "{how}");
    let lines = |out: &Path| {
        let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        text.lines().count()
    };
    assert_eq!(lines(whole), lines(parts), "{how}");
}

#[test]
fn a_resumed_run_ends_where_an_uninterrupted_one_does() {
    let (dir, recipe) = house();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let mut one = Watch::default();
    assert_eq!(
        one.train(ready(&recipe, &whole, false).unwrap()).unwrap(),
        Outcome::Finished
    );
    assert_eq!(one.losses.len(), 9);
    assert_eq!(one.evaluations.iter().map(|e| e.step).collect::<Vec<_>>(), [4, 8, 9]);

    // Stopped in the first stage and again in the second.
    let mut other = Watch::default();
    for (stop_after, resume, outcome) in [
        (2, false, Outcome::Stopped),
        (6, true, Outcome::Stopped),
        (0, true, Outcome::Finished),
    ] {
        other.stop_after = stop_after;
        assert_eq!(other.train(ready(&recipe, &parts, resume).unwrap()).unwrap(), outcome);
    }
    same(&whole, &one, &parts, &other, "stopped after 2 and 6");
    // And a different seed is a different run.
    let text = std::fs::read_to_string(&recipe)
        .unwrap()
        .replace("seed = 5", "seed = 6");
    std::fs::write(&recipe, text).unwrap();
    let error = ready(&recipe, &parts, true).unwrap_err().to_string();
    assert!(error.contains("seed is 6"), "{error}");
    Watch::default()
        .train(ready(&recipe, &dir.path().join("third"), false).unwrap())
        .unwrap();
    assert!(bytes(&whole, "model.safetensors") != bytes(&dir.path().join("third"), "model.safetensors"));
}

/// Stops a run after every one of its steps: whatever is not kept in a checkpoint would show. `change` makes the recipe
/// another one.
fn stopped_at_every_step(change: &[(&str, &str)]) {
    let (dir, recipe) = house();
    let mut text = std::fs::read_to_string(&recipe).unwrap();
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    // What a model writes is no part of its state, and takes longer than the steps.
    let text = text.replace("[eval]\n", "[eval]\nsample_tokens = 0\n");
    std::fs::write(&recipe, text).unwrap();
    let whole = dir.path().join("whole");
    let mut one = Watch::default();
    one.train(ready(&recipe, &whole, false).unwrap()).unwrap();
    // Each step in turn of a run that is stopped once, and all of them in one run.
    for stop_after in 1..9 {
        let parts = dir.path().join(format!("parts {stop_after}"));
        let mut other = Watch::default();
        other.stop_after = stop_after;
        let stopped = other.train(ready(&recipe, &parts, false).unwrap()).unwrap();
        assert_eq!(stopped, Outcome::Stopped);
        other.stop_after = 0;
        let finished = other.train(ready(&recipe, &parts, true).unwrap()).unwrap();
        assert_eq!(finished, Outcome::Finished);
        same(&whole, &one, &parts, &other, &format!("stopped after {stop_after}"));
    }
    let (parts, mut other) = (dir.path().join("steps"), Watch::default());
    for step in 1..=9 {
        other.stop_after = step;
        other.train(ready(&recipe, &parts, step > 1).unwrap()).unwrap();
    }
    same(&whole, &one, &parts, &other, "stopped after every step");
}

#[test]
fn a_run_may_stop_after_any_step() {
    stopped_at_every_step(&[]);
}

#[test]
fn a_run_on_two_threads_may_stop_after_any_step() {
    stopped_at_every_step(&[("threads = 1", "threads = 2")]);
}

#[test]
fn a_run_with_every_loss_may_stop_after_any_step() {
    stopped_at_every_step(&[
        ("tokens = 0.1 }", "tokens = 0.1, directions = 0.1, next = 0.5 }"),
        (
            "ocr_share = 0.5",
            "ocr_share = 0.5\nunfolded_share = 0.5\naccumulate = 2\nfirst_weight = 2.0\nfirst_tokens = 3\nrepeat_weight = 2.0\nchunk_tokens = [8, 24]",
        ),
        ("chunks = [1, 3]", "chunks = [2, 4]"),
        ("threads = 1", "threads = 1\nreread_tokens = 3"),
    ]);
}

#[test]
fn what_a_model_sees_may_change_when_a_run_goes_on() {
    let (dir, recipe) = house();
    let out = dir.path().join("run");
    let mut watch = Watch::default();
    watch.stop_after = 7;
    watch.train(ready(&recipe, &out, false).unwrap()).unwrap();
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, format!("reread_tokens = 4\nvisual_sees_text = true\n{text}")).unwrap();
    watch.stop_after = 0;
    watch.train(ready(&recipe, &out, true).unwrap()).unwrap();
    let config = folio_engine::config::Config::load(&out.join("step_000009")).unwrap();
    let fold = config.fold.unwrap();
    assert_eq!((fold.reread_tokens, fold.visual_sees_text), (4, true));
}

#[test]
fn stages_train_their_parts_and_freeze_the_others() {
    let (dir, recipe) = house();
    let out = dir.path().join("run");
    // Saved by step, so that the end of the first stage is there to compare.
    let text = std::fs::read_to_string(&recipe).unwrap() + "[checkpoint]\nevery = 3\nkeep = 9\n";
    std::fs::write(&recipe, text).unwrap();
    let mut watch = Watch::default();
    watch.train(ready(&recipe, &out, false).unwrap()).unwrap();
    let config = tiny();
    let read = |step: &str| folio_engine::checkpoint::Checkpoint::open(&out.join(step)).unwrap();
    let (first, last) = (read("step_000003"), read("step_000009"));
    for spec in folio_engine::checkpoint::tensors(&config) {
        let start = folio_engine::checkpoint::init_tensor(&config, &spec, 5);
        let after_read = first.read_f32(&spec).unwrap();
        let frozen = spec.name.starts_with("language_model.");
        assert_eq!(after_read == start, frozen, "{} after the read stage", spec.name);
        assert!(last.read_f32(&spec).unwrap() != start, "{} never learnt", spec.name);
    }
    let evaluation = watch.evaluations.last().unwrap();
    for loss in [
        evaluation.eval_loss,
        evaluation.eval_none_loss,
        evaluation.eval_ocr_loss,
    ] {
        assert!(loss.unwrap().is_finite() && loss.unwrap() < 5.9, "{evaluation:?}");
    }
}
