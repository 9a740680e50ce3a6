//! Tokenizer and chat template.

use super::models::{TEMPLATE, file};
use super::writer::Meta;
use super::{put, says};
use folio_engine::config::TextModelType;
use folio_engine::text::{ChatTemplate, Message, Tokenizer};

#[test]
fn tokens_are_merged_and_special_ones_told_apart() {
    let (_dir, path) = put(&file(TextModelType::Llama, true));
    let tokenizer = Tokenizer::load(&path).expect("tokenizer");
    let text = "hello é\n<|im_end|> 42";
    let ids = tokenizer.encode(text).expect("ids");
    assert_eq!(ids[0], 262, "hello is one token: {ids:?}");
    assert!(!ids.contains(&2), "a text's <|im_end|> is plain text: {ids:?}");
    assert_eq!(tokenizer.decode(&ids), text);
    let marked = tokenizer
        .encode_with_special("<|im_start|>hello<|im_end|>")
        .expect("ids");
    assert_eq!(marked, [1, 262, 2]);
    assert!(tokenizer.is_special(0) && tokenizer.is_special(2) && !tokenizer.is_special(3));
    assert_eq!(tokenizer.vocab_size(), super::models::VOCAB);
    assert!(!tokenizer.adds_bos());
}

#[test]
fn words_are_cut_as_the_file_says() {
    // A merge of two digits, and one over a blank, show where words end.
    let cut = |pre: &str, text: &str| {
        let mut file = file(TextModelType::Qwen2, true);
        let mut change = |key: &str, more: &[&str]| {
            let (_, value) = file.metadata.iter_mut().find(|(other, _)| other == key).expect("key");
            match value {
                Meta::Texts(list) => list.extend(more.iter().map(|s| (*s).to_owned())),
                Meta::I32s(list) => list.extend(more.iter().map(|_| 1)),
                _ => panic!("no list"),
            }
        };
        change("tokenizer.ggml.tokens", &["12", "123", "1234", "!?", "!?Ċ"]);
        change("tokenizer.ggml.token_type", &["", "", "", "", ""]);
        change("tokenizer.ggml.merges", &["1 2", "12 3", "123 4", "! ?", "!? Ċ"]);
        file.set("tokenizer.ggml.pre", Some(Meta::from(pre)));
        let (_dir, path) = put(&file);
        let tokenizer = Tokenizer::load(&path).expect("tokenizer");
        tokenizer.encode(text).expect("ids").len()
    };
    for (pre, digits, marks) in [("gpt-2", 1, 2), ("smollm", 4, 2), ("llama-bpe", 2, 1), ("qwen2", 4, 1)] {
        assert_eq!((cut(pre, "1234"), cut(pre, "!?\n")), (digits, marks), "{pre}");
    }
}

#[test]
fn whether_a_text_starts_with_bos_is_what_the_file_says() {
    for (pre, key, right) in [
        ("smollm", None, false),
        ("llama-bpe", None, true),
        ("llama-bpe", Some(false), false),
        ("qwen2", Some(true), true),
    ] {
        let mut file = file(TextModelType::Llama, true);
        file.set("tokenizer.ggml.pre", Some(Meta::from(pre)));
        file.set("tokenizer.ggml.add_bos_token", key.map(Meta::Bool));
        let (_dir, path) = put(&file);
        assert_eq!(
            Tokenizer::load(&path).expect("tokenizer").adds_bos(),
            right,
            "{pre}, {key:?}"
        );
    }
}

#[test]
fn the_chat_template_is_the_files() {
    let mut file = file(TextModelType::Qwen3, true);
    let chat = [Message::new("user", "Hi")];
    let (_dir, path) = put(&file);
    let template = ChatTemplate::load(&path).expect("template");
    assert_eq!(
        template.render(&chat, true).expect("render"),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    file.set(
        "tokenizer.chat_template",
        Some(Meta::Text(format!("{{{{ eos_token }}}}{TEMPLATE}"))),
    );
    let (_dir, path) = put(&file);
    let template = ChatTemplate::load(&path).expect("template");
    assert!(
        template
            .render(&chat, false)
            .expect("render")
            .starts_with("<|im_end|><|im_start|>")
    );
    file.set("tokenizer.chat_template", None);
    let (_dir, path) = put(&file);
    assert!(ChatTemplate::load(&path).expect("template").is_plain());
    file.set("tokenizer.chat_template", Some(Meta::from("{% for")));
    let (_dir, path) = put(&file);
    says(ChatTemplate::load(&path), &["tokenizer.chat_template"]);
}

#[test]
fn tokenizers_that_cannot_be_read_are_told_by_name() {
    let texts = |list: &[&str]| Some(Meta::Texts(list.iter().map(|s| (*s).to_owned()).collect()));
    for (key, value, what) in [
        (
            "tokenizer.ggml.model",
            Some(Meta::from("llama")),
            "\"llama\": only byte-level BPE",
        ),
        ("tokenizer.ggml.model", None, "tokenizer.ggml.model is \"missing\""),
        (
            "tokenizer.ggml.pre",
            Some(Meta::from("gemma9")),
            "\"gemma9\": known are gpt-2",
        ),
        ("tokenizer.ggml.tokens", None, "holds no tokenizer"),
        ("tokenizer.ggml.tokens", texts(&[]), "holds no tokenizer"),
        ("tokenizer.ggml.tokens", Some(Meta::U32(1)), "must be a list"),
        ("tokenizer.ggml.token_type", Some(Meta::I32s(vec![1])), "has 1 items"),
        ("tokenizer.ggml.merges", None, "is missing"),
        ("tokenizer.ggml.merges", texts(&["he"]), "\"he\", which does not join"),
        ("tokenizer.ggml.merges", texts(&["q q"]), "\"q q\", which does not join"),
    ] {
        let mut file = file(TextModelType::Llama, true);
        file.set(key, value);
        let (_dir, path) = put(&file);
        says(Tokenizer::load(&path), &["model.bin", key, what]);
    }
    let mut file = file(TextModelType::Llama, true);
    let (_, tokens) = file
        .metadata
        .iter_mut()
        .find(|(key, _)| key == "tokenizer.ggml.tokens")
        .expect("tokens");
    if let Meta::Texts(tokens) = tokens {
        tokens[40] = tokens[30].clone();
    }
    let (_dir, path) = put(&file);
    says(
        Tokenizer::load(&path),
        &["tokenizer.ggml.tokens has", "twice, as 30 and as 40"],
    );
}
