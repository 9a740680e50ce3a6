//! `folio bench headline`.

use serde_json::Value;

use std::process::{Command, Output};

use crate::common::Place;

fn preset(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_folio"));
    command.args(["bench", "headline"]).args(arguments).output().unwrap()
}

/// Runs are processes of the program itself; pages of whole chunks need no padding, so that what the runner counts is
/// what the formulas say, operation by operation.
#[test]
fn what_is_counted_is_what_the_formulas_say_and_the_files_are_whole() {
    let house = Place::new();
    let json = house.ok(&[
        "bench", "headline", "--model", "m", "--device", "cpu", "--prompt", "64,160", "--decode", "40", "--answer",
        "320", "--json", "-q", "--out", "report",
    ]);
    let folder = house.path("report");
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["measured"].as_array().unwrap().len(), 2);
    for run in report["runs"].as_array().unwrap() {
        for (counted, planned) in [
            ("first_token_flops", "first_token_cost"),
            ("decode_flops", "decode_cost"),
        ] {
            let (counted, planned) = (run[counted].as_f64().unwrap(), run[planned].as_f64().unwrap());
            assert!(counted > 0.0 && counted == planned, "{run}");
        }
        assert!(run["first_token_s"].as_f64().unwrap() > 0.0);
    }
    // 160 tokens: 10 pages of 4 slots and BOS, against all 161; then 40 tokens: two folds and 8 open.
    let longest = &report["measured"][1];
    let slot = longest["full"]["kv_bytes"].as_f64().unwrap() / 201.0;
    assert_eq!(
        longest["folded"]["kv_bytes"].as_f64().unwrap(),
        (1.0 + 40.0 + 8.0 + 8.0) * slot
    );
    let claims = report["claims"].as_array().unwrap();
    let planned = claims
        .iter()
        .find(|c| c["claim"].as_str().unwrap().starts_with("KV of 32768 tokens read"))
        .unwrap();
    assert_eq!(planned["holds"], true);
    assert!((planned["found"].as_f64().unwrap() - 0.75).abs() < 0.001, "{planned}");
    for name in ["first_token.svg", "decode.svg", "prefill_flops.svg", "kv.svg"] {
        let svg = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("folded"),
            "{name}"
        );
    }
    let table = std::fs::read_to_string(folder.join("headline.md")).unwrap();
    assert!(table.contains("| 160 |") && table.contains("holds"), "{table}");
    let kept: Value = serde_json::from_slice(&std::fs::read(folder.join("headline.json")).unwrap()).unwrap();
    assert_eq!(kept, report);
}

#[test]
fn the_plan_of_a_preset_needs_no_weights_and_shows_our_encoder_beside_the_papers() {
    let output = preset(&["--preset", "vist2-0.6b", "--plan-only"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for row in ["| vist2-0.6b |", "| vist2-0.6b-strips |", "**missed**", "| 32768 |"] {
        assert!(text.contains(row), "{row} is not in\n{text}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |arguments: &[&str]| {
        let output = preset(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--preset", "folio-nano", "--prompt", "0"]).contains("1 or more"));
    assert!(refused(&["--preset", "folio-nano", "--prompt", "9000000"]).contains("slots"));
    assert!(refused(&["--preset", "no-such"]).contains("folio-nano"));
}
