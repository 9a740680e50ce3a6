//! Bad input: one clear line, an exit code that is not 0, nothing half-written.

use crate::common::{Place, config, write_model};

const RUN: [&str; 5] = ["generate", "--prompt", "a", "--max-new-tokens", "3"];

/// Writes the model's only weights file with one change to its header or data.
fn tamper(place: &Place, change: impl FnOnce(&mut serde_json::Value, &mut Vec<u8>)) {
    let path = place.path("m/model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let mut data = bytes[8 + n..].to_vec();
    change(&mut header, &mut data);
    let header = serde_json::to_vec(&header).unwrap();
    let out = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(path, out).unwrap();
}

#[test]
fn a_missing_model_folder() {
    let place = Place::new();
    place.fails(&["generate", "--model", "nowhere", "--prompt", "a"], 1, "nowhere");
    place.write("file", "x");
    place.fails(&["generate", "--model", "file", "--prompt", "a"], 1, "folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let place = Place::new();
        std::fs::remove_file(place.path("m").join(name)).unwrap();
        place.fails(&RUN, 1, name);
    }
}

#[test]
fn damaged_weights() {
    let place = Place::new();
    let path = place.path("m/model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for n in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..n]).unwrap();
        place.fails(&RUN, 1, "model.safetensors");
    }
}

#[test]
fn a_tensor_of_another_shape() {
    let place = Place::new();
    tamper(&place, |header, _| {
        header["aligner.weight"]["shape"] = serde_json::json!([16, 32])
    });
    place.fails(&RUN, 1, "aligner.weight");
}

#[test]
fn an_unknown_or_missing_tensor() {
    let place = Place::new();
    tamper(&place, |header, _| {
        let tensor = header.as_object_mut().unwrap().remove("aligner.bias").unwrap();
        header["aligner.bias_of_another"] = tensor;
    });
    place.fails(&RUN, 1, "aligner.bias");
}

#[test]
fn weights_that_are_not_numbers() {
    for bad in [f32::NAN, f32::INFINITY] {
        let place = Place::new();
        tamper(&place, |header, data| {
            let name = "language_model.model.layers.1.mlp.up_proj.weight";
            let at = header[name]["data_offsets"][0].as_u64().unwrap() as usize + 40;
            data[at..at + 4].copy_from_slice(&bad.to_le_bytes());
        });
        place.fails(&RUN, 1, "layers.1.mlp.up_proj.weight");
    }
}

#[test]
fn a_configuration_that_contradicts_itself() {
    type Edit = fn(&mut serde_json::Value);
    let contradictions: [(&str, Edit); 4] = [
        ("patch_width", |c| c["vision_config"]["patch_width"] = 40.into()),
        ("visual_tokens", |c| c["visual_tokens"] = 5.into()),
        ("chunk_tokens", |c| c["chunk_tokens"] = 3.into()),
        ("cell_width", |c| c["page"]["cell_width"] = 7.into()),
    ];
    for (key, change) in contradictions {
        let place = Place::new();
        let mut json = place.json("m/config.json");
        change(&mut json);
        place.write("m/config.json", json.to_string());
        place.fails(&RUN, 1, key);
    }
    let place = Place::new();
    place.write("m/config.json", "{ not json");
    place.fails(&RUN, 1, "config.json");
    let place = Place::new();
    place.write("m/tokenizer.json", "{}");
    place.fails(&RUN, 1, "tokenizer.json");
}

#[test]
fn a_prompt_that_is_not_utf8() {
    let place = Place::new();
    place.write("p.txt", b"caf\xe9 au lait");
    place.fails(&["generate", "--prompt-file", "p.txt"], 1, "offset 3");
    place.fails(&["score", "--file", "p.txt"], 1, "offset 3");
    place.fails(&["generate", "--prompt-file", "missing.txt"], 1, "missing.txt");
}

#[test]
fn a_session_of_another_model_or_no_session_at_all() {
    let place = Place::new();
    place.ok(&[
        "generate",
        "--prompt",
        "a",
        "--max-new-tokens",
        "3",
        "--save-session",
        "s.json",
    ]);
    write_model(&place.path("other"), &config(), 2);
    place.fails(
        &["generate", "--model", "other", "--resume-session", "s.json"],
        1,
        "another model",
    );
    let good = std::fs::read(place.path("s.json")).unwrap();
    place.write("cut.json", &good[..good.len() / 2]);
    place.fails(&["generate", "--resume-session", "cut.json"], 1, "cut.json");
    place.write("other.json", "[1, 2]");
    place.fails(&["generate", "--resume-session", "other.json"], 1, "not a session");
    place.write(
        "late.json",
        String::from_utf8(good)
            .unwrap()
            .replace("\"version\":1", "\"version\":9"),
    );
    place.fails(&["generate", "--resume-session", "late.json"], 1, "newer");
    place.fails(&["generate", "--resume-session", "missing.json"], 1, "missing.json");
    place.fails(
        &["generate", "--resume-session", "s.json", "--context", "full"],
        2,
        "--context",
    );
}

#[test]
fn sampling_values_out_of_range() {
    let place = Place::new();
    for (flag, value) in [
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--temperature", "hot"),
        ("--top-p", "0"),
        ("--top-p", "1.5"),
        ("--min-p", "-0.1"),
        ("--min-p", "2"),
        ("--repetition-penalty", "0"),
        ("--top-k", "-3"),
        ("--max-new-tokens", "-1"),
        ("--seed", "x"),
        ("--stop", ""),
    ] {
        place.fails(
            &["generate", "--prompt", "a", flag, value],
            2,
            flag.trim_start_matches("--").split('-').next().unwrap(),
        );
    }
}

#[test]
fn ids_outside_the_vocabulary() {
    let place = Place::new();
    place.write("ids.json", "[0, 70, 258]");
    place.fails(&["score", "--tokens", "ids.json"], 1, "258");
    for bad in ["[1, -2]", "{}", "[1.5]", "[", "[99999999999]"] {
        place.write("ids.json", bad);
        place.fails(&["score", "--tokens", "ids.json"], 1, "ids.json");
    }
}

#[test]
fn results_that_cannot_be_written_are_told_before_the_work() {
    let place = Place::new();
    place.write("file", "x");
    for flag in ["--stats", "--save-session"] {
        for path in ["nowhere/s.json", "file/s.json", "m"] {
            place.fails(&["generate", "--prompt", "a", flag, path], 1, path);
        }
    }
    place.fails(&["generate", "--prompt", "a", "--pages", "file"], 1, "file");
    place.fails(&["generate", "--prompt", "a", "--stats", "-"], 2, "stdout");
    let same = ["--stats", "s.json", "--save-session", "s.json"];
    place.fails(&[&["generate", "--prompt", "a"], &same[..]].concat(), 2, "same file");
    // A failure later on leaves no trace of a file that could have been written.
    place.fails(
        &["generate", "--model", "nowhere", "--prompt", "a", "--stats", "s.json"],
        1,
        "nowhere",
    );
}

#[test]
fn plans_beyond_counting() {
    let place = Place::new();
    let tokens = usize::MAX.to_string();
    place.fails(&["inspect", "--tokens", &tokens], 2, "1000000000000");
    place.fails(
        &["inspect", "--tokens", "9", "--new-tokens", &tokens],
        2,
        "1000000000000",
    );
}

#[test]
fn devices_that_this_build_does_not_have() {
    let place = Place::new();
    place.fails(&["generate", "--prompt", "a", "--device", "cuda"], 1, "cuda");
    place.fails(&["generate", "--prompt", "a", "--device", "abacus"], 2, "abacus");
}

#[test]
fn folding_asked_of_a_text_only_model() {
    let place = Place::with(|config| config.fold = None);
    place.fails(&RUN, 1, "--context full");
    place.fails(&["score", "--tokens", "ids.json", "--context", "folded"], 1, "ids.json");
    place.write("t.txt", "some text");
    place.fails(&["score", "--file", "t.txt"], 1, "--context full");
    place.fails(&["render", "t.txt", "--out", "pages"], 1, "text-only");
    place.ok(&[
        "generate",
        "--prompt",
        "a",
        "--max-new-tokens",
        "3",
        "--context",
        "full",
    ]);
    place.ok(&["score", "--file", "t.txt", "--context", "full"]);
}
