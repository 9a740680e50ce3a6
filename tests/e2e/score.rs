//! `folio score`.

use crate::common::{Place, TEXT};

fn score(place: &Place, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&place.ok(&[&["score"], args].concat())).unwrap()
}

fn nlls(json: &serde_json::Value) -> Vec<f64> {
    json["token_nll"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

#[test]
fn the_report_has_the_contracts_keys_and_adds_up() {
    let place = Place::new();
    place.write("t.txt", TEXT);
    let json = score(&place, &["--file", "t.txt", "--per-token", "--pages", "p"]);
    assert_eq!(json["tokens"], TEXT.len());
    let token_nll = nlls(&json);
    assert_eq!(token_nll.len(), TEXT.len());
    let mean = token_nll.iter().sum::<f64>() / token_nll.len() as f64;
    assert!((json["nll_per_token"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!((json["perplexity"].as_f64().unwrap() - mean.exp()).abs() < 1e-6 * mean.exp());
    let chunks = json["chunks"].as_array().unwrap();
    assert!(chunks.iter().all(|n| n == 16));
    assert_eq!(chunks.len(), TEXT.len() / 16);
    assert_eq!(std::fs::read_dir(place.path("p")).unwrap().count(), chunks.len());
    assert!(score(&place, &["--file", "t.txt"]).get("token_nll").is_none());
}

#[test]
fn modes_agree_inside_the_first_chunk_and_part_after_it() {
    let place = Place::new();
    place.write("t.txt", TEXT);
    let of = |mode: &str| score(&place, &["--file", "t.txt", "--per-token", "--context", mode]);
    let folded = of("folded");
    for mode in ["full", "window", "none"] {
        let other = of(mode);
        assert_eq!(other["chunks"], folded["chunks"], "{mode}");
        let (a, b) = (nlls(&folded), nlls(&other));
        assert!(
            a[..16].iter().zip(&b[..16]).all(|(a, b)| (a - b).abs() < 1e-4),
            "{mode}"
        );
        assert!(
            a[16..].iter().zip(&b[16..]).any(|(a, b)| (a - b).abs() > 1e-3),
            "{mode}"
        );
    }
}

#[test]
fn scoring_what_was_generated_gives_the_probabilities_of_generating_it() {
    // Greedy: every generated token must be the likeliest, so no token of the same document can score better.
    let place = Place::new();
    place.ok(&[
        "generate",
        "--prompt",
        "",
        "--max-new-tokens",
        "50",
        "--ignore-eos",
        "--save-session",
        "x.json",
    ]);
    let ids = place.json("x.json")["tokens"].clone();
    place.write("ids.json", ids.to_string());
    let best = nlls(&score(&place, &["--tokens", "ids.json", "--per-token"]));
    assert_eq!(best.len(), 50);
    for at in [1usize, 16, 17, 33, 49] {
        let mut other = ids.clone();
        other[at] = (2 + (ids[at].as_u64().unwrap() + 7) % 256).into();
        place.write("other.json", other.to_string());
        let nll = nlls(&score(&place, &["--tokens", "other.json", "--per-token"]));
        assert!(
            nll[at - 1] >= best[at - 1] - 1e-5,
            "token {at}: {} {}",
            nll[at - 1],
            best[at - 1]
        );
    }
}

#[test]
fn bos_is_added_only_when_it_is_not_there() {
    let place = Place::new();
    place.write("a.json", "[0, 70, 71, 72]");
    place.write("b.json", "[70, 71, 72]");
    assert_eq!(
        score(&place, &["--tokens", "a.json"]),
        score(&place, &["--tokens", "b.json"])
    );
    place.write("empty.json", "[]");
    place.fails(&["score", "--tokens", "empty.json"], 1, "nothing to score");
}
