//! What is refused before anything is trained.

use crate::house::{house, ready, tiny};

#[test]
fn what_does_not_fit_is_refused_before_training() {
    let (dir, recipe) = house();
    let text = std::fs::read_to_string(&recipe).unwrap();
    let refused = |from: &str, to: &str| {
        std::fs::write(&recipe, text.replacen(from, to, 1)).unwrap();
        ready(&recipe, &dir.path().join("out"), false).unwrap_err().to_string()
    };
    assert!(refused("config.json", "absent.json").contains("nor a preset"));
    assert!(refused("/train.txt", "/absent.txt").contains("absent.txt"));
    assert!(refused("/tokenizer\"", "/nowhere\"").contains("nowhere"));
    let mut small = tiny();
    small.text.vocab_size = 100;
    std::fs::write(dir.path().join("small.json"), small.to_json()).unwrap();
    assert!(refused("config.json", "small.json").contains("vocab_size is 100"));
    let mut text_only = tiny();
    text_only.fold = None;
    std::fs::write(dir.path().join("text.json"), text_only.to_json()).unwrap();
    assert!(refused("config.json", "text.json").contains("text-only"));
    let long = refused("chunks = [1, 3]", "chunks = [1, 3]\nchunk_tokens = [8, 25]");
    assert!(
        long.contains("recipe.toml: stage 2: chunk_tokens is 25") && long.contains("24 tokens"),
        "{long}"
    );
    let absurd = "chunks = [1, 9000000000000000000]\nbatch = 9000000000000000000";
    let absurd = refused("batch = 2\nchunks = [1, 3]", absurd);
    assert!(
        absurd.contains("stage 2: batch") && absurd.contains("at most 65536"),
        "{absurd}"
    );
    assert!(!dir.path().join("out").exists(), "a refused run left a folder");
    std::fs::write(&recipe, &text).unwrap();
    ready(&recipe, &dir.path().join("out"), false).unwrap();
}
