//! inspect, render, devices, chat, help.

use std::io::Write;
use std::process::Stdio;

use crate::common::{Place, TEXT};

#[test]
fn help_shows_examples_for_every_command() {
    let place = Place::new();
    for command in ["generate", "chat", "score", "inspect", "render", "convert"] {
        assert!(place.ok(&[command, "--help"]).contains("Example"), "{command}");
    }
}

#[test]
fn inspect_plans_full_against_folded() {
    let place = Place::new();
    let json: serde_json::Value = serde_json::from_str(&place.ok(&["inspect", "--tokens", "3200", "--json"])).unwrap();
    let plan = &json["plan"];
    assert_eq!(plan["full"]["slots"], 3201);
    assert_eq!(plan["folded"]["slots"], 801);
    let table = place.ok(&["inspect", "--tokens", "3200"]);
    for word in ["3201", "801", "FLOPs", "KV", "chunk"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(!place.ok(&["inspect"]).contains("FLOPs"));
}

#[test]
fn render_draws_all_of_a_text() {
    let place = Place::new();
    place.write("t.txt", TEXT);
    place.ok(&["render", "t.txt", "--out", "p"]);
    assert_eq!(
        std::fs::read_dir(place.path("p")).unwrap().count(),
        TEXT.len().div_ceil(16)
    );
    place.ok(&["score", "--file", "t.txt", "--pages", "q"]);
    let page = |dir: &str| std::fs::read(place.path(dir).join("page_00003.png")).unwrap();
    assert_eq!(page("p"), page("q"), "the pages that the model sees");
    place.fails(&["render", "t.txt", "--out", "r", "--font", "t.txt"], 1, "t.txt");
}

#[test]
fn devices_pass_their_self_test() {
    let place = Place::new();
    let table = place.ok(&["devices"]);
    assert!(
        table.contains("passed") && table.contains("not part of this build"),
        "{table}"
    );
    let json: serde_json::Value = serde_json::from_str(&place.ok(&["devices", "--json"])).unwrap();
    assert_eq!(json["devices"][0]["self_test"], "passed");
}

#[test]
fn chat_answers_turn_by_turn() {
    let place = Place::new();
    let args = [
        "chat",
        "--max-new-tokens",
        "20",
        "--ignore-eos",
        "--pages",
        "p",
        "--stats",
        "s.json",
        "--system",
        TEXT,
    ];
    let mut child = place
        .command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{TEXT}\n\nand then?\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stats = place.json("s.json");
    assert_eq!(stats["generated_tokens"], 40);
    assert!(stats["folds"].as_u64().unwrap() >= 2 * (TEXT.len() as u64 / 16));
    // Pages of given turns are grey.
    let first = std::fs::read(place.path("p").join("page_00000.png")).unwrap();
    let page = folio_engine::page::PageImage::from_png(&first, "page").unwrap();
    assert_eq!(page.background, folio_engine::page::Tint::Grey.value());
}
