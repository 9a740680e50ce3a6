//! GGUF files through the program: as `--model` of every command.

// Shared with the engine's tests, which use more of it.
#[allow(dead_code)]
#[path = "../../engine/tests/gguf/models.rs"]
mod models;
#[allow(dead_code)]
#[path = "../../engine/tests/gguf/writer.rs"]
mod writer;

use std::io::Write;
use std::process::Stdio;

use folio_engine::config::TextModelType;

use super::common::Place;

/// A folder with `x.gguf` in it.
fn place() -> Place {
    let place = Place::new();
    place.write("x.gguf", models::file(TextModelType::Llama, true).bytes());
    place
}

#[test]
fn a_file_runs_as_the_folder_that_it_becomes() {
    let place = place();
    place.ok(&["convert", "--model", "x.gguf", "--out", "folder", "--quantize", "f32"]);
    let text = |model: &str| {
        place.ok(&[
            "generate",
            "--model",
            model,
            "--device",
            "cpu",
            "--context",
            "full",
            "--prompt",
            "hello there",
            "--max-new-tokens",
            "24",
            "--ignore-eos",
            "--temperature",
            "0",
        ])
    };
    let written = text("x.gguf");
    assert!(!written.is_empty());
    assert_eq!(written, text("folder"));
    let shown = place.ok(&["inspect", "--model", "x.gguf"]);
    assert!(
        shown.contains("Llama: 2 layers, width 64") && shown.contains("f32"),
        "{shown}"
    );
}

#[test]
fn a_text_without_bos_starts_with_its_first_token() {
    let place = place();
    place.write("t.txt", "hello there");
    let score = place.ok(&[
        "score",
        "--model",
        "x.gguf",
        "--device",
        "cpu",
        "--context",
        "full",
        "--file",
        "t.txt",
    ]);
    let score: serde_json::Value = serde_json::from_str(&score).unwrap();
    // "hello", " ", "t", "he", "r", "e"; nothing predicts the first.
    assert_eq!(score["tokens"], 5);
    place.ok(&[
        "generate",
        "--model",
        "x.gguf",
        "--device",
        "cpu",
        "--context",
        "full",
        "--prompt",
        "hello",
        "--max-new-tokens",
        "2",
        "--ignore-eos",
        "--save-session",
        "s.json",
        "--stats",
        "stats.json",
    ]);
    let tokens = &place.json("s.json")["tokens"];
    assert_eq!(tokens[0], 262, "{tokens}");
    assert_eq!(place.json("stats.json")["prompt_tokens"], 1);
    // The session goes on; and without any prompt BOS starts the text.
    place.ok(&[
        "generate",
        "--model",
        "x.gguf",
        "--device",
        "cpu",
        "--resume-session",
        "s.json",
        "--max-new-tokens",
        "2",
        "--ignore-eos",
    ]);
    place.ok(&[
        "generate",
        "--model",
        "x.gguf",
        "--device",
        "cpu",
        "--context",
        "full",
        "--prompt",
        "",
        "--max-new-tokens",
        "2",
        "--ignore-eos",
        "--save-session",
        "empty.json",
    ]);
    assert_eq!(place.json("empty.json")["tokens"][0], 1);
}

#[test]
fn the_template_inside_is_used() {
    let place = place();
    let args = [
        "chat",
        "--model",
        "x.gguf",
        "--device",
        "cpu",
        "--full",
        "--max-new-tokens",
        "4",
        "--temperature",
        "0",
        "--stats",
        "s.json",
    ];
    let mut child = place
        .command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !stderr.contains("no chat template"),
        "{stderr}"
    );
    // <|im_start|> user \n hello <|im_end|> \n <|im_start|> assistant \n: bytes but for the special ones and hello, no BOS before.
    assert_eq!(place.json("s.json")["prompt_tokens"], 20);
}

#[test]
fn what_cannot_be_run_is_told_in_a_line() {
    let place = place();
    place.fails(
        &["generate", "--model", "x.gguf", "--prompt", "x"],
        1,
        "a text-only model cannot fold",
    );
    let whole = models::file(TextModelType::Llama, true).bytes();
    place.write("half.gguf", &whole[..whole.len() / 2]);
    place.fails(&["inspect", "--model", "half.gguf"], 1, "half.gguf: is damaged");
    let mut yarn = models::file(TextModelType::Llama, true);
    yarn.set("llama.rope.scaling.type", Some(writer::Meta::from("yarn")));
    place.write("yarn.gguf", yarn.bytes());
    place.fails(&["inspect", "--model", "yarn.gguf"], 1, "only unscaled RoPE");
    place.write("text.gguf", "no such thing");
    place.fails(&["inspect", "--model", "text.gguf"], 1, "or a GGUF file");
}
