//! `folio generate` doing its job.

use crate::common::{Place, TEXT};

#[test]
fn stats_have_the_contracts_keys_and_add_up() {
    let place = Place::new();
    let text = place.ok(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "100",
        "--ignore-eos",
        "--stats",
        "s.json",
        "--pages",
        "p",
    ]);
    assert!(!text.is_empty());
    let stats = place.json("s.json");
    let mut keys: Vec<&str> = stats.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut wanted = vec![
        "model",
        "device",
        "context",
        "prompt_tokens",
        "generated_tokens",
        "folds",
        "context_slots",
        "peak_context_slots",
        "kv_bytes_peak",
        "kv_bytes_full",
        "weight_bytes",
        "time_to_first_token_s",
        "decode_tokens_per_s",
        "fold_s",
        "finish_reason",
        "seed",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    let number = |key: &str| stats[key].as_u64().unwrap() as usize;
    assert_eq!((number("prompt_tokens"), number("generated_tokens")), (TEXT.len(), 100));
    assert_eq!(
        (&stats["finish_reason"], &stats["context"]),
        (&"length".into(), &"folded".into())
    );
    assert_eq!(stats["model"], "m");
    // 2 layers × (key + value) × 16 × 4 bytes.
    assert_eq!(number("kv_bytes_peak"), number("peak_context_slots") * 256);
    assert_eq!(number("kv_bytes_full"), (1 + TEXT.len() + 100) * 256);
    assert!(number("kv_bytes_peak") * 100 <= number("kv_bytes_full") * 45, "{stats}");
    for key in ["render", "encode", "prefill"] {
        assert!(stats["fold_s"][key].as_f64().unwrap() > 0.0, "{stats}");
    }
    let pages = std::fs::read_dir(place.path("p")).unwrap().count();
    assert_eq!(pages, number("folds"));
    assert!(pages >= TEXT.len() / 16 + 100 / 16);
    let first = std::fs::read(place.path("p").join("page_00000.png")).unwrap();
    let page = folio_engine::page::PageImage::from_png(&first, "page").unwrap();
    assert_eq!((page.width, page.height), (96, 32));
}

#[test]
fn everything_but_the_text_goes_to_stderr_and_quiet_silences_it() {
    let place = Place::new();
    let args = [
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "40",
        "--ignore-eos",
        "--quiet",
    ];
    let quiet = place.run(&args);
    assert!(
        quiet.status.success() && quiet.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&quiet.stderr)
    );
    let loud = place.run(&args[..args.len() - 1]);
    assert_eq!(quiet.stdout, loud.stdout);
    let stderr = String::from_utf8(loud.stderr).unwrap();
    assert!(stderr.contains("40 tokens") && stderr.contains("folds"), "{stderr}");
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_another() {
    let place = Place::new();
    let run = |seed: &str| {
        place.ok(&[
            "generate",
            "--prompt",
            TEXT,
            "--max-new-tokens",
            "60",
            "--temperature",
            "1",
            "--top-p",
            "0.95",
            "--min-p",
            "0.001",
            "--top-k",
            "100",
            "--repetition-penalty",
            "1.1",
            "--ignore-eos",
            "--seed",
            seed,
        ])
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn prompts_come_from_a_flag_a_file_or_stdin() {
    let place = Place::new();
    place.write("p.txt", TEXT);
    let flag = place.ok(&["generate", "--prompt", TEXT, "--max-new-tokens", "30"]);
    assert_eq!(
        flag,
        place.ok(&["generate", "--prompt-file", "p.txt", "--max-new-tokens", "30"])
    );
    for dash in [&["-"][..], &["--prompt-file", "-"]] {
        let mut command = place.command(&[&["generate", "--max-new-tokens", "30"], dash].concat());
        let output = command
            .stdin(std::fs::File::open(place.path("p.txt")).unwrap())
            .output()
            .unwrap();
        assert_eq!(flag, String::from_utf8(output.stdout).unwrap());
    }
    place.fails(&["generate"], 2, "--prompt");
    place.fails(
        &["generate", "--prompt", "a", "--prompt-file", "p.txt"],
        2,
        "cannot be used with",
    );
}

#[test]
fn a_stop_string_ends_the_text_and_is_not_printed() {
    let place = Place::new();
    let free = place.ok(&["generate", "--prompt", TEXT, "--max-new-tokens", "60", "--ignore-eos"]);
    let chars: Vec<char> = free.chars().collect();
    let stop: String = chars[chars.len() / 2..chars.len() / 2 + 3].iter().collect();
    let args = [
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "60",
        "--ignore-eos",
        "--stop",
        "never",
        "--stop",
    ];
    let stopped = place.ok(&[&args[..], &[&stop, "--stats", "s.json"]].concat());
    assert_eq!(stopped, free[..free.find(&stop).unwrap()]);
    assert_eq!(place.json("s.json")["finish_reason"], "stop");
}

#[test]
fn a_full_context_holds_everything_as_text() {
    let place = Place::new();
    place.ok(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "30",
        "--ignore-eos",
        "--context",
        "full",
        "--stats",
        "s.json",
    ]);
    let stats = place.json("s.json");
    assert_eq!((&stats["folds"], &stats["context"]), (&0.into(), &"full".into()));
    assert_eq!(stats["peak_context_slots"], 1 + TEXT.len() + 30);
    assert_eq!(stats["kv_bytes_peak"], stats["kv_bytes_full"]);
}

#[test]
fn a_model_in_the_environment_is_the_default() {
    let place = Place::new();
    let given = place.ok(&["generate", "--prompt", "a", "--max-new-tokens", "20"]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_folio"));
    command
        .env("FOLIO_MODEL", place.path("m"))
        .args(["generate", "--prompt", "a", "--max-new-tokens", "20"]);
    assert_eq!(given.as_bytes(), command.output().unwrap().stdout);
}

#[test]
fn sampling_defaults_come_from_generation_config() {
    let place = Place::new();
    let greedy = place.ok(&["generate", "--prompt", TEXT, "--max-new-tokens", "40"]);
    place.write("m/generation_config.json", r#"{"do_sample": true, "temperature": 5.0}"#);
    let sampled = place.ok(&["generate", "--prompt", TEXT, "--max-new-tokens", "40"]);
    assert_ne!(greedy, sampled);
    let flag = place.ok(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "40",
        "--temperature",
        "0",
    ]);
    assert_eq!(greedy, flag);
    place.write(
        "m/generation_config.json",
        r#"{"do_sample": true, "temperature": -5.0}"#,
    );
    place.fails(&["generate", "--prompt", "a"], 1, "generation_config.json");
}
