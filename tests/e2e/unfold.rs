//! `--unfold` through the program: what it says, that it changes what is written, and that sessions go on.

use crate::common::{Place, TEXT};

const BASE: [&str; 6] = ["generate", "--prompt", TEXT, "--quiet", "--ignore-eos", "--device"];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&BASE[..], &["cpu"], more].concat()
}

#[test]
fn off_is_the_default_and_says_nothing() {
    let place = Place::new();
    let none = place.ok(&args(&[
        "--max-new-tokens",
        "60",
        "--stats",
        "none.json",
        "--save-session",
        "none",
    ]));
    let zero = place.ok(&args(&[
        "--max-new-tokens",
        "60",
        "--unfold",
        "0",
        "--stats",
        "zero.json",
        "--save-session",
        "zero",
    ]));
    assert_eq!(none, zero);
    assert!(place.json("none.json").get("unfold").is_none());
    let file = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    assert_eq!(file("none"), file("zero"));
    assert!(file("none").contains("\"version\":1,") && !file("none").contains("unfold"));
}

#[test]
fn what_it_took_is_in_the_statistics() {
    let place = Place::new();
    let off = place.ok(&args(&["--max-new-tokens", "60", "--stats", "off.json"]));
    let on = place.ok(&args(&[
        "--max-new-tokens",
        "60",
        "--unfold",
        "2",
        "--stats",
        "on.json",
    ]));
    assert_ne!(on, off, "text that is there again is seen");
    let (on, off) = (place.json("on.json"), place.json("off.json"));
    assert_eq!(on["folds"], off["folds"]);
    let unfold = &on["unfold"];
    let n = |key: &str| unfold[key].as_u64().unwrap();
    // The prompt, and every chunk of 16 tokens but the last.
    assert_eq!((n("pages"), n("times"), n("pages_read")), (2, 4, 8));
    assert!(
        n("slots_peak") <= 2 * 16 + 4 && n("slots_peak") > 2 * 16 - 4,
        "{unfold}"
    );
    // Two layers of one key head of 16, keys and values in four bytes.
    assert_eq!(n("kv_bytes_peak"), n("slots_peak") * 2 * 2 * 16 * 4);
    assert_eq!(n("text_bytes"), 4 * (TEXT.len() as u64 + 48));
    assert!(n("tokens_read") >= 4 * n("slots_peak") - 4 * 16);
    let peak = |stats: &serde_json::Value| stats["peak_context_slots"].as_u64().unwrap();
    assert!(peak(&on) > peak(&off));
}

#[test]
fn sessions_go_on_at_any_cut() {
    let place = Place::new();
    for cut in [0, 1, 15, 16, 17, 40] {
        for sampling in [&[][..], &["--temperature", "1.2", "--seed", "5"]] {
            let n = |n: usize| n.to_string();
            let base = args(&[&["--unfold", "2"], sampling].concat());
            let whole = place.ok(&[&base[..], &["--max-new-tokens", &n(60), "--stats", "whole.json"]].concat());
            let first = place.ok(&[&base[..], &["--max-new-tokens", &n(cut), "--save-session", "x.json"]].concat());
            let rest = n(60 - cut);
            let resume = [
                "generate",
                "--resume-session",
                "x.json",
                "--device",
                "cpu",
                "--quiet",
                "--max-new-tokens",
            ];
            let second = place.ok(&[&resume[..], &[&rest, "--stats", "half.json"]].concat());
            assert_eq!(first + &second, whole, "cut at {cut}");
            let (whole, half) = (place.json("whole.json"), place.json("half.json"));
            for key in ["context_slots", "folds"] {
                assert_eq!(whole[key], half[key], "{key}");
            }
            for key in ["pages", "times", "pages_read", "tokens_read", "text_bytes"] {
                assert_eq!(whole["unfold"][key], half["unfold"][key], "{key}");
            }
            // The flag takes the place of what the file says.
            let off = place.ok(&[&resume[..], &[&rest, "--unfold", "0", "--stats", "off.json"]].concat());
            assert!(cut < 17 || off != second, "cut at {cut}");
            assert!(place.json("off.json").get("unfold").is_none());
        }
    }
}

#[test]
fn a_chat_unfolds_turn_by_turn() {
    let place = Place::new();
    let chat = |unfold: &str| {
        let mut command = place.command(&["chat", "--max-new-tokens", "30", "--device", "cpu", "--ignore-eos"]);
        command.args(["--unfold", unfold, "--stats", "chat.json"]);
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let lines = format!("{TEXT}\nAnd who was awake?\n");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        (output.stdout, place.json("chat.json"))
    };
    let (text, stats) = chat("1");
    let (plain, without) = chat("0");
    assert_ne!(text, plain);
    assert!(without.get("unfold").is_none());
    assert!(stats["unfold"]["times"].as_u64().unwrap() >= 3, "{stats}");
}

#[test]
fn what_cannot_be_unfolded_is_said() {
    let place = Place::new();
    place.fails(
        &args(&["--unfold", "1", "--context", "full"]),
        2,
        "no pages to read again",
    );
    place.fails(&["chat", "--unfold", "1", "--full"], 2, "cannot be used with");
    place.fails(&args(&["--unfold", "-1"]), 2, "--unfold");
}
