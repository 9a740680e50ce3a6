//! The controls of spec section 6 are the same recipe with another memory.

use crate::house::{RECIPE, Watch, house, ready};
use folio_trainer::run::Outcome;

/// The recipe's run under `memory`: its watcher and its folder.
fn run(memory: &str) -> (Watch, tempfile::TempDir) {
    let (dir, recipe) = house();
    let text = RECIPE.replace("DIR", &dir.path().display().to_string());
    let text = text.replace("[eval]\n", "[eval]\nsample_tokens = 30\n");
    std::fs::write(&recipe, format!("memory = \"{memory}\"\n{text}")).unwrap();
    let mut watch = Watch::default();
    let setup = ready(&recipe, &dir.path().join("run"), false).unwrap();
    assert_eq!(watch.train(setup).unwrap(), Outcome::Finished);
    (watch, dir)
}

#[test]
fn every_control_trains_on_the_same_text_for_as_long() {
    let mut tokens = Vec::new();
    for memory in [
        "vision",
        "full",
        "window",
        "none",
        "shuffled_pages",
        "mean_pool",
        "conv_pyramid",
    ] {
        let (watch, dir) = run(memory);
        let pages = !["full", "window", "none"].contains(&memory);
        let olm: Vec<_> = watch
            .losses
            .iter()
            .filter(|(_, line)| line.lr.language_model > 0.0)
            .collect();
        assert_eq!(olm.len(), 6, "{memory}");
        assert!(
            olm.iter()
                .all(|(_, l)| l.loss.or(l.ocr_loss).is_some_and(f64::is_finite) && l.flops_per_s > 0.0)
        );
        assert_eq!(
            watch.losses.len(),
            if pages { 9 } else { 6 },
            "without pages there is nothing to read"
        );
        let last = watch.evaluations.last().unwrap();
        let (folded, none) = (last.eval_folded_loss.unwrap(), last.eval_none_loss.unwrap());
        assert_eq!(last.eval_ocr_loss.is_some(), pages);
        assert_eq!(
            (folded - none).abs() < 1e-6,
            memory == "none",
            "{memory}: {folded} {none}"
        );
        // Chunks of 24 tokens: offsets 0, 1, 2–3, 4–7, 8–15, 16–23.
        assert_eq!(
            (last.eval_folded_by_offset.len(), last.eval_none_by_offset.len()),
            (6, 6)
        );
        let samples = dir.path().join("run/samples");
        assert_eq!(
            samples.join("step_000009.txt").exists(),
            pages || memory == "full",
            "{memory}"
        );
        assert_eq!(samples.join("step_000009_page_01.png").exists(), pages, "{memory}");
        if pages {
            let text = std::fs::read_to_string(samples.join("step_000009.txt")).unwrap();
            assert!(text.contains("--- prompt") && text.contains("--- greedy") && text.contains("--- temperature"));
            assert!(!text.contains("broken off"), "{text}");
        }
        let read = if pages { watch.losses[2].1.tokens } else { 0 };
        let of_step: Vec<u64> = olm.iter().map(|(_, line)| line.tokens - read).collect();
        tokens.push(of_step);
    }
    assert!(
        tokens.iter().all(|n| *n == tokens[0]),
        "the same windows, step by step: {tokens:?}"
    );
}

#[test]
fn a_control_with_weights_of_its_own_is_not_a_resumed_method() {
    let (dir, recipe) = house();
    let mut watch = Watch::default();
    watch.stop_after += 4;
    let out = dir.path().join("run");
    watch.train(ready(&recipe, &out, false).unwrap()).unwrap();
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, format!("memory = \"conv_pyramid\"\n{text}")).unwrap();
    let error = ready(&recipe, &out, true).unwrap_err().to_string();
    assert!(error.contains("the model is not that of"), "{error}");
}
