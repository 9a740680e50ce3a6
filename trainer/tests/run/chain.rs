//! The whole chain: raw files in, caption → ocr → olm → sft by one recipe, text out of `folio generate`.

use crate::house::house;
use folio_engine::config::Config;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const STAGES: &str = r#"
[[data.set]]
name = "pictures"
kind = "caption"
files = ["DIR/captions.jsonl"]
[[data.set]]
name = "talk"
kind = "chat"
files = ["DIR/chat.jsonl"]
[[stage]]
kind = "caption"
steps = 60
batch = 3
lr = { aligner = 2e-2, vision = 2e-2, embedding = 1e-2, language_model = 1e-2 }
[[stage]]
kind = "ocr"
steps = 60
batch = 2
chunks = [2, 4]
curriculum = [{ until_loss = 5.6, until_step = 40, chunks = 1 }]
lr = { vision = 1e-2, aligner = 1e-2, embedding = 1e-2, language_model = 1e-2 }
aux = { cells = 0.2 }
[[stage]]
kind = "olm"
steps = 80
batch = 2
chunks = [2, 5]
lr = { embedding = 1e-2, language_model = 1e-2, vision = 1e-2, aligner = 1e-2 }
[[stage]]
kind = "sft"
steps = 60
batch = 2
max_tokens = 200
lr = { embedding = 1e-2, language_model = 1e-2 }
[log]
every = 20
"#;

/// Three pictures with their colours, and a few chats.
fn raw_files(dir: &Path) {
    let mut captions = String::new();
    for (name, grey) in [("black", 0u8), ("grey", 128), ("white", 255)] {
        let image = image::GrayImage::from_pixel(20, 10, image::Luma([grey]));
        image.save(dir.join(format!("{name}.png"))).unwrap();
        captions += &format!("{{\"image\": \"{name}.png\", \"caption\": \"the river {name}\"}}\n");
    }
    std::fs::write(dir.join("captions.jsonl"), captions).unwrap();
    let answer = "<think>seven birds went over</think> the river stood still; and then no one knew why. ".repeat(3);
    let chat = serde_json::json!({"messages": [
        {"role": "user", "content": "a lamp and then the river ".repeat(9)},
        {"role": "assistant", "content": answer},
    ]});
    std::fs::write(dir.join("chat.jsonl"), format!("{chat}\n")).unwrap();
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {said}", program.display());
    output
}

/// `folio`, which cargo builds beside the trainer when it builds the workspace.
fn folio(trainer: &Path) -> PathBuf {
    let path = trainer.with_file_name(format!("folio{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{}: build it with `cargo build --release -p folio`",
        path.display()
    );
    path
}

#[test]
fn raw_files_become_a_model_that_writes() {
    let (dir, recipe) = house();
    let at = |name: &str| dir.path().join(name).display().to_string();
    raw_files(dir.path());
    let text = std::fs::read_to_string(&recipe).unwrap();
    let head = &text[..text.find("[[stage]]").unwrap()];
    std::fs::write(
        &recipe,
        format!("{head}{}", STAGES.replace("DIR", &dir.path().display().to_string())),
    )
    .unwrap();

    let trainer = PathBuf::from(env!("CARGO_BIN_EXE_folio-train"));
    run(&trainer, &["run", recipe.to_str().unwrap(), "--out", &at("run")]);
    let lines: Vec<serde_json::Value> = std::fs::read_to_string(dir.path().join("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (stage, key) in [(1, "caption_loss"), (2, "ocr_loss"), (3, "loss"), (4, "sft_loss")] {
        let losses: Vec<f64> = lines
            .iter()
            .filter(|l| l["stage"] == stage)
            .filter_map(|l| l[key].as_f64())
            .collect();
        let (first, last) = (losses[0], *losses.last().unwrap());
        assert!(
            losses.len() >= 3 && last < first - 0.05,
            "stage {stage} learns nothing: {losses:?}"
        );
    }
    run(
        &trainer,
        &["export", &at("run"), "--out", &at("model"), "--dtype", "f32"],
    );
    assert!(Config::load(&dir.path().join("model")).unwrap().fold.is_some());

    let generated = run(
        &folio(&trainer),
        &[
            "generate",
            "--model",
            &at("model"),
            "--prompt",
            &"the river and a lamp ".repeat(10),
            "--max-new-tokens",
            "60",
            "--ignore-eos",
            "--temperature",
            "0",
            "--device",
            "cpu",
            "--stats",
            &at("stats.json"),
        ],
    );
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("stats.json")).unwrap()).unwrap();
    assert_eq!(stats["generated_tokens"], 60);
    assert!(stats["folds"].as_u64().unwrap() >= 3, "{stats}");
    assert!(!String::from_utf8(generated.stdout).unwrap().trim().is_empty());
}
