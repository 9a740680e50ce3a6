//! Edges that work.

use std::io::Read;
use std::process::Stdio;

use crate::common::{Place, TEXT};

#[test]
fn an_empty_prompt_starts_from_bos() {
    let place = Place::new();
    let text = place.ok(&[
        "generate",
        "--prompt",
        "",
        "--max-new-tokens",
        "20",
        "--ignore-eos",
        "--stats",
        "s.json",
    ]);
    assert!(!text.is_empty());
    let stats = place.json("s.json");
    assert_eq!(
        (&stats["prompt_tokens"], &stats["generated_tokens"]),
        (&0.into(), &20.into())
    );
}

#[test]
fn no_new_tokens_reads_the_prompt_and_writes_statistics_and_session() {
    let place = Place::new();
    let args = [
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "0",
        "--stats",
        "s.json",
        "--save-session",
        "x.json",
    ];
    assert_eq!(place.ok(&args), "");
    let stats = place.json("s.json");
    assert_eq!(
        (&stats["prompt_tokens"], &stats["generated_tokens"]),
        (&TEXT.len().into(), &0.into())
    );
    assert!(stats["time_to_first_token_s"].is_null() && stats["decode_tokens_per_s"].is_null());
    assert!(stats["folds"].as_u64().unwrap() >= 9);
    let later = place.ok(&["generate", "--resume-session", "x.json", "--max-new-tokens", "30"]);
    assert_eq!(
        later,
        place.ok(&["generate", "--prompt", TEXT, "--max-new-tokens", "30"])
    );
}

#[test]
fn a_full_context_ends_the_text_with_a_reason_of_its_own() {
    let place = Place::with(|config| config.text.max_position_embeddings = 40);
    let most = usize::MAX.to_string();
    let generate = |args: &[&str]| {
        place.ok(&[
            &[
                "generate",
                "--ignore-eos",
                "--max-new-tokens",
                &most,
                "--stats",
                "s.json",
            ],
            args,
        ]
        .concat());
        let stats = place.json("s.json");
        assert_eq!(stats["finish_reason"], "context_full");
        assert!(stats["peak_context_slots"].as_u64().unwrap() <= 40);
        stats["generated_tokens"].as_u64().unwrap()
    };
    // Slots are bounded, not tokens.
    assert!(generate(&["--prompt", "a"]) > 80);
    assert_eq!(generate(&["--prompt", "a", "--context", "full"]), 39);
    let long = TEXT.repeat(9);
    assert_eq!(generate(&["--prompt", &long]), 0);
    // The end of a prompt is not left out silently.
    let read = place.json("s.json")["prompt_tokens"].as_u64().unwrap();
    let output = place.run(&["generate", "--prompt", &long]);
    let note = format!("only {read} of {} tokens of the prompt", long.len());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(&note), "{note:?} is not in: {stderr}");
    let output = place.run(&["generate", "--prompt", "a", "--ignore-eos", "--max-new-tokens", "5000"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("context is full") && !stderr.contains("only"),
        "{stderr}"
    );
    place.write("long.txt", TEXT.repeat(9));
    place.fails(&["score", "--file", "long.txt"], 1, "max_position_embeddings");
}

#[test]
fn a_megabyte_of_prompt_folds_in_bounded_memory() {
    // K = 1024 and β = 8 lines of 128 cells, so that a tiny model reads its thousand pages in seconds.
    let place = Place::with(|config| {
        config.text.max_position_embeddings = 16_384;
        if let Some(fold) = &mut config.fold {
            fold.chunk_tokens = 1024;
            fold.visual_tokens = 8;
            fold.vision.patch_width = 1024;
            fold.vision.image_width = 1024;
            fold.vision.image_height = 128;
        }
    });
    let text: String = TEXT.chars().cycle().take(1 << 20).collect();
    place.write("long.txt", &text);
    let mut command = place.command(&[
        "generate",
        "--prompt-file",
        "long.txt",
        "--max-new-tokens",
        "2",
        "--ignore-eos",
        "--stats",
        "s.json",
    ]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        // VmHWM is the peak itself, so looking now and then is enough.
        let path = format!("/proc/{}/status", child.id());
        let peak = std::fs::read_to_string(path).ok().and_then(|s| {
            s.lines().find_map(|l| {
                l.strip_prefix("VmHWM:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse::<usize>()
                    .ok()
            })
        });
        most = most.max(peak.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(status.success());
    let stats = place.json("s.json");
    assert_eq!(
        (&stats["prompt_tokens"], &stats["generated_tokens"]),
        (&text.len().into(), &2.into())
    );
    assert_eq!(stats["folds"], 1024);
    assert!(stats["context_slots"].as_u64().unwrap() <= 1024 * 8 + 3);
    assert!(most < 700_000, "{most} kB at the peak");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_cleanly_and_the_session_goes_on() {
    let place = Place::new();
    let sampling = ["--temperature", "1", "--seed", "3", "--ignore-eos"];
    let args = [
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "100000",
        "--stats",
        "s.json",
        "--save-session",
        "x.json",
    ];
    let mut command = place.command(&[&args[..], &sampling].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = vec![0; 40];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut text).unwrap();
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    stdout.read_to_end(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stats = place.json("s.json");
    assert_eq!(stats["finish_reason"], "cancelled");
    let written = stats["generated_tokens"].as_u64().unwrap();
    let rest = place.ok(&["generate", "--resume-session", "x.json", "--max-new-tokens", "50"]);
    let total = (written + 50).to_string();
    let whole = place.ok(&[
        &["generate", "--prompt", TEXT, "--max-new-tokens", &total],
        &sampling[..],
    ]
    .concat());
    assert_eq!(String::from_utf8(text).unwrap() + &rest, whole);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut command = place.command(&[
        "generate",
        "--prompt",
        TEXT,
        "--max-new-tokens",
        "3000",
        "--ignore-eos",
        "--quiet",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
