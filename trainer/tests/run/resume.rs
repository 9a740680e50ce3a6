//! Stopping and resuming changes nothing, and every stage trains what it should.

use crate::house::{Watch, house, ready, tiny};
use folio_trainer::run::Outcome;
use std::path::Path;

fn bytes(out: &Path, file: &str) -> Vec<u8> {
    std::fs::read(out.join("step_000009").join(file)).unwrap()
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
    for file in ["model.safetensors", "optimizer.safetensors"] {
        assert!(
            bytes(&whole, file) == bytes(&parts, file),
            "{file} differs after resuming"
        );
    }
    for ((step, a), (other_step, b)) in one.losses.iter().zip(&other.losses) {
        assert_eq!(
            (step, a.loss, a.cells_loss, a.lr),
            (other_step, b.loss, b.cells_loss, b.lr)
        );
    }
    let lines = |out: &Path| {
        std::fs::read_to_string(out.join("metrics.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(lines(&whole), lines(&parts));
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
