//! Saving and resuming through the program: the same text as one uninterrupted run.

use crate::common::{Place, TEXT};

fn whole_and_halves(place: &Place, cut: usize, total: usize, args: &[&str]) {
    let n = |n: usize| n.to_string();
    let base = [&["generate", "--prompt", TEXT, "--quiet", "--ignore-eos"], args].concat();
    let whole = place.ok(&[&base[..], &["--max-new-tokens", &n(total), "--stats", "whole.json"]].concat());
    let first = place.ok(&[&base[..], &["--max-new-tokens", &n(cut), "--save-session", "x.json"]].concat());
    let rest = n(total - cut);
    let second = place.ok(&[
        "generate",
        "--resume-session",
        "x.json",
        "--max-new-tokens",
        &rest,
        "--stats",
        "half.json",
    ]);
    assert_eq!(first + &second, whole, "cut at {cut}, {args:?}");
    let (whole, half) = (place.json("whole.json"), place.json("half.json"));
    for key in ["context_slots", "folds", "kv_bytes_full", "seed"] {
        assert_eq!(whole[key], half[key], "{key}");
    }
    assert_eq!(half["generated_tokens"], total - cut);
}

#[test]
fn greedy_and_sampled_texts_go_on_at_any_cut() {
    let place = Place::new();
    for cut in [1, 15, 16, 17, 40] {
        whole_and_halves(&place, cut, 60, &[]);
        whole_and_halves(
            &place,
            cut,
            60,
            &["--temperature", "1.2", "--repetition-penalty", "1.2", "--seed", "5"],
        );
    }
}

#[test]
fn also_when_pages_see_their_text_and_when_nothing_folds() {
    let place = Place::with(|config| {
        if let Some(fold) = &mut config.fold {
            fold.visual_sees_text = true;
        }
    });
    whole_and_halves(&place, 20, 50, &["--temperature", "1"]);
    whole_and_halves(&place, 20, 50, &["--temperature", "1", "--context", "full"]);
}

#[test]
fn also_when_the_end_of_a_page_is_read_again() {
    let place = Place::with(|config| {
        if let Some(fold) = &mut config.fold {
            fold.reread_tokens = 5;
        }
    });
    for cut in [1, 16, 17, 40] {
        whole_and_halves(&place, cut, 50, &["--temperature", "1", "--unfold", "1"]);
        whole_and_halves(&place, cut, 50, &["--temperature", "1"]);
    }
    let file = std::fs::read_to_string(place.path("x.json")).unwrap();
    assert!(file.contains("\"pages\":[]"), "the session file tells of it: {file}");
}

#[test]
fn a_chain_of_sessions_with_more_prompt_in_between() {
    let place = Place::new();
    place.ok(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "20",
        "--save-session",
        "a.json",
    ]);
    let more = [
        "generate",
        "--resume-session",
        "a.json",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "20",
    ];
    place.ok(&[&more[..], &["--save-session", "b.json", "--stats", "s.json"]].concat());
    let stats = place.json("s.json");
    assert_eq!(stats["prompt_tokens"], 2 * TEXT.len() + 20);
    assert_eq!(place.ok(&more), place.ok(&more));
    place.ok(&[
        "generate",
        "--resume-session",
        "b.json",
        "--max-new-tokens",
        "20",
        "--save-session",
        "b.json",
    ]);
    let size = std::fs::metadata(place.path("b.json")).unwrap().len();
    assert!(size < 8000, "{size} bytes");
}

#[test]
fn flags_given_anew_take_the_place_of_the_saved_ones() {
    let place = Place::new();
    place.ok(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "9",
        "--temperature",
        "2",
        "--save-session",
        "x.json",
    ]);
    let resume = ["generate", "--resume-session", "x.json", "--max-new-tokens", "40"];
    let hot = place.ok(&resume);
    let cold = place.ok(&[&resume[..], &["--temperature", "0"]].concat());
    assert_eq!(hot, place.ok(&resume));
    assert_ne!(hot, cold);
}
