//! Faults through the real program: what is wrong is said in a line or two, and what was there before stays whole.

use crate::house::house;
use std::path::Path;
use std::process::{Command, Output};

fn trainer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_folio-train"))
        .args(arguments)
        .output()
        .unwrap()
}

/// What a failed run says; it must be short and end with status 1.
fn failure(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let error: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert!((1..=2).contains(&error.len()), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    error.join("\n")
}

/// The error of the house's recipe with `from` replaced by `to`.
fn with(from: &str, to: &str, files: &[(&str, &[u8])]) -> String {
    let (dir, recipe) = house();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let text = std::fs::read_to_string(&recipe).unwrap();
    assert!(text.contains(from), "{from}");
    let to = to.replace("DIR", &dir.path().display().to_string());
    std::fs::write(&recipe, text.replacen(from, &to, 1)).unwrap();
    failure(&trainer(&["run", recipe.to_str().unwrap()]))
}

#[test]
fn bad_recipes_and_data_are_named() {
    let typo = with("batch = 2", "bacth = 2", &[]);
    assert!(
        typo.contains("recipe.toml, line 14") && typo.contains("bacth"),
        "{typo}"
    );
    let only_empty = with("[data]\n", "[data]\nstream = false\n", &[("train.txt", b" \n")]);
    assert!(
        only_empty.contains("data set \"train\"") && only_empty.contains("train.txt: hold no text"),
        "{only_empty}"
    );
    let latin = with(
        "[data]\n",
        "[data]\nstream = false\n",
        &[("train.txt", b"caf\xe9 noir")],
    );
    assert!(
        latin.contains("train.txt") && latin.contains("byte 4 (0xe9) is not UTF-8"),
        "{latin}"
    );
    let set = "[[data.set]]\nname = \"pictures\"\nkind = \"caption\"\nfiles = [\"DIR/c.jsonl\"]\n[[stage]]\nkind = \"caption\"\n\
        steps = 1\nbatch = 1\nlr = { aligner = 1e-3 }\n[[stage]]\nkind = \"read\"";
    let line = br#"{"image": "gone.png", "caption": "nothing"}"#;
    let gone = with("[[stage]]\nkind = \"read\"", set, &[("c.jsonl", line)]);
    assert!(gone.contains("c.jsonl, line 1") && gone.contains("gone.png"), "{gone}");
}

#[test]
fn a_cause_is_said_once() {
    let missing = failure(&trainer(&["run", "no-such-recipe.toml"]));
    assert_eq!(missing.matches("os error").count(), 1, "{missing}");
    assert!(missing.contains("no-such-recipe.toml"), "{missing}");
}

/// The sizes of all files below `dir`, by name.
fn listing(dir: &Path) -> Vec<(String, u64)> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .collect();
    found.sort();
    found
}

/// A limit on the size of files stands for a full disk: both fail in the middle of a write.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint() {
    let (dir, recipe) = house();
    let out = dir.path().join("run");
    let text = std::fs::read_to_string(&recipe)
        .unwrap()
        .replace("steps = 6", "steps = 3");
    std::fs::write(&recipe, &text).unwrap();
    let recipe = recipe.to_str().unwrap();
    assert!(trainer(&["run", recipe]).status.success());
    let before = listing(&out.join("step_000006"));
    let model = std::fs::read(out.join("step_000006/model.safetensors")).unwrap();
    // Three steps more, on a disk with room for half of a checkpoint's largest file.
    std::fs::write(
        recipe,
        text.replace("kind = \"olm\"\nsteps = 3", "kind = \"olm\"\nsteps = 6"),
    )
    .unwrap();
    let blocks = before.iter().map(|(_, size)| size).max().unwrap() / 2 / 512;
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run \"$1\" --resume");
    let full = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_folio-train"), recipe])
        .output()
        .unwrap();
    let error = failure(&full);
    assert!(
        error.contains("cannot write") && error.contains("safetensors"),
        "{error}"
    );
    assert_eq!(listing(&out.join("step_000006")), before);
    assert!(std::fs::read(out.join("step_000006/model.safetensors")).unwrap() == model);
    assert!(!out.join("step_000009").exists(), "half a checkpoint is left");
    // With room again it goes on from there.
    assert!(trainer(&["run", recipe, "--resume"]).status.success());
    assert!(out.join("step_000009/model.safetensors").exists());
}
