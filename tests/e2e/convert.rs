//! `folio convert`: quantised models run, and say nearly the same.

use std::path::Path;

use crate::common::Place;

/// A place with the bundled model in `nano`, its conversions in `q8_0` and `q4_0`, and a text.
fn converted() -> Place {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let nano = root.join("models/folio-nano");
    for quantize in ["q8_0", "q4_0"] {
        let args = ["convert", "--model", nano.to_str().unwrap(), "--out", quantize];
        let output = place.run(&[&args[..], &["--quantize", quantize]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
        // One summary line, and no bar where there is no terminal.
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for part in [quantize, "MB → ", "f32"] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
    }
    std::os::unix::fs::symlink(&nano, place.path("nano")).unwrap();
    let text = std::fs::read(root.join("tests/fixtures/prose-two-pages.txt")).unwrap();
    place.write("t.txt", text);
    place
}

#[test]
fn quantised_models_score_nearly_as_the_original() {
    let place = converted();
    let nll = |model: &str| {
        let json = place.ok(&["score", "--device", "cpu", "--model", model, "--file", "t.txt"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json["chunks"].as_array().unwrap().len() > 5, "the text must fold");
        json["nll_per_token"].as_f64().unwrap()
    };
    let original = nll("nano");
    for (model, within) in [("q8_0", 0.01), ("q4_0", 0.1)] {
        let found = nll(model);
        assert_ne!(found, original, "{model} runs on its own weights");
        assert!(
            (found - original).abs() <= within,
            "{model}: {found}, original {original}"
        );
    }

    let size = |model: &str| {
        std::fs::metadata(place.path(model).join("model.safetensors"))
            .unwrap()
            .len()
    };
    assert!(size("q8_0") * 100 < size("nano") * 60 && size("q4_0") * 100 < size("nano") * 35);
    let shown = place.ok(&["inspect", "--model", "q4_0"]);
    let line = shown.lines().find(|line| line.starts_with("stored")).unwrap();
    assert!(line.contains("q4_0 (") && line.contains("f32 ("), "{line}");
    let json: serde_json::Value = serde_json::from_str(&place.ok(&["inspect", "--model", "q8_0", "--json"])).unwrap();
    let bytes = |stored: &str| json["stored"][stored]["bytes"].as_u64().unwrap();
    assert!(bytes("q8_0") > 10 * bytes("f32"), "{json}");
    assert!(
        size("q8_0") - bytes("q8_0") - bytes("f32") < 20_000,
        "the rest is the header"
    );
}

#[test]
fn wrong_uses_are_told_in_a_line_and_leave_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path("full")).unwrap();
    place.write("full/x", "mine");
    place.write("m.gguf", b"GGUF\x03\0\0\0");
    place.fails(&["convert", "--out", "full"], 1, "full: is there already and not empty");
    place.fails(&["convert", "--out", "m"], 1, "m: is there already and not empty");
    place.fails(&["convert", "--out", "m.gguf"], 1, "m.gguf: is a file");
    place.fails(&["convert", "--out", "o", "--quantize", "q5_0"], 2, "q5_0");
    place.fails(&["convert"], 2, "--out");
    place.fails(&["convert", "--model", "nowhere", "--out", "o"], 1, "nowhere");
    place.fails(
        &["convert", "--model", "m.gguf", "--out", "o"],
        1,
        "m.gguf: is truncated or damaged at byte 8",
    );
    place.fails(
        &["convert", "--model", "full/x", "--out", "o"],
        1,
        "a model is a folder",
    );
    let weights = place.path("m/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    place.fails(&["convert", "--out", "o/p", "--quantize", "q8_0"], 1, "is truncated");
    place.fails(&["inspect"], 1, "is truncated");
    std::fs::remove_file(&weights).unwrap();
    assert!(place.ok(&["inspect"]).contains("no weights in this folder"));
}
