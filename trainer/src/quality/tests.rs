//! Every figure against a hand count, and all of them once on a real (random) model.
#![allow(clippy::unwrap_used)]

use super::reader::Reader;
use super::*;
use crate::data::{sources, tests_support::tokenizer};
use crate::init_from::Donors;
use crate::model_folder::init;
use folio_engine::checkpoint::Dtype;
use folio_engine::config::preset;
use folio_engine::context::Context;
use folio_engine::page::{PageImage, Patches};
use folio_engine::runner::{Folded, Logits, Runner, Want};
use folio_engine::text::Tokenizer;
use folio_engine::{Pending, ready};
use std::sync::{Arc, Mutex};

const WORDS: &str = "a lamp stood by the window when seven birds, quite still, went over the river to a far shore. ";

/// Pages of 32 by 4 cells, chunks of 48 tokens.
fn tiny() -> Config {
    let mut config = preset("folio-nano").unwrap();
    let text = &mut config.text;
    (text.vocab_size, text.hidden_size, text.intermediate_size) = (300, 16, 32);
    (text.num_hidden_layers, text.num_attention_heads) = (1, 2);
    (text.num_key_value_heads, text.head_dim) = (1, 8);
    let fold = config.fold.as_mut().unwrap();
    let vision = &mut fold.vision;
    (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) = (16, 32, 1);
    vision.num_attention_heads = 2;
    (vision.image_width, vision.image_height) = (256, 128);
    (vision.patch_width, vision.patch_height) = (128, 16);
    (fold.chunk_tokens, fold.visual_tokens) = (48, 16);
    config
}

/// A runner without a model: it says what it was told to. Document `n` (counted by resets) is answered by `answers[n]`,
/// token by token; a text that is read at once was foreseen where `foreseen[n]`.
struct Parrot {
    config: Config,
    context: Context,
    answers: Vec<Vec<u32>>,
    foreseen: Vec<bool>,
    documents: usize,
    next: usize,
    /// What attention asks of the pages of document `n`, the newest first.
    asked: Vec<Vec<f64>>,
    /// Ids that were read again, in order.
    again: Arc<Mutex<Vec<Vec<u32>>>>,
}

impl Parrot {
    fn logits(&self, ids: impl Iterator<Item = u32>) -> Logits {
        let vocab = self.config.text.vocab_size;
        let mut data = Vec::new();
        for id in ids {
            let start = data.len();
            data.resize(start + vocab, 0.0);
            data[start + id as usize] = 1.0;
        }
        Logits { data, vocab }
    }

    fn answer(&self) -> u32 {
        let answer = self.answers.get(self.documents - 1);
        answer.and_then(|ids| ids.get(self.next)).copied().unwrap_or(0)
    }
}

impl Runner for Parrot {
    fn config(&self) -> &Config {
        &self.config
    }
    fn context(&self) -> &Context {
        &self.context
    }
    fn reset(&mut self) {
        self.context = Context::new();
        self.documents += 1;
    }
    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        self.context.extend(ids.len());
        if want == Want::Last {
            self.next += 1;
            return ready(Ok(self.logits([self.answer()].into_iter())));
        }
        self.next = 0;
        let foreseen = self.foreseen.get(self.documents - 1).is_some_and(|&yes| yes);
        let rows = ids[1..].iter().map(|&id| if foreseen { id } else { 1 });
        ready(Ok(self.logits(rows.chain([self.answer()]))))
    }
    fn fold<'a>(&'a mut self, pages: &'a [PageImage], _want: Want) -> Pending<'a, Folded> {
        self.next = 0;
        let fold = self.config.fold.as_ref().unwrap();
        let slots: Vec<usize> = pages.iter().map(|page| Patches::ink_slots(page, fold)).collect();
        for &n in &slots {
            self.context.fold(n);
        }
        let logits = self.logits([self.answer()].into_iter());
        ready(Ok(Folded {
            slots,
            logits,
            ..Folded::default()
        }))
    }
    fn unfold<'a>(&'a mut self, ids: &'a [u32], _want: Want) -> Pending<'a, Logits> {
        self.context.unfold(ids.len());
        self.again.lock().unwrap().push(ids.to_vec());
        self.next = 0;
        ready(Ok(self.logits([self.answer()].into_iter())))
    }
    fn watch_pages(&mut self, _on: bool) -> folio_engine::Result<()> {
        Ok(())
    }
    fn pages_asked(&mut self) -> Pending<'_, Vec<f64>> {
        let mut asked = self.asked[self.documents - 1].clone();
        asked.reverse();
        ready(Ok(asked))
    }
    fn keep_open(&mut self) {
        self.context.keep_open();
    }
    fn drop_open(&mut self) {
        self.context.drop_open();
    }
    fn evict(&mut self, n: usize) {
        self.context.evict(n);
    }
    fn kv_bytes_per_slot(&self) -> usize {
        1
    }
    fn weight_bytes(&self) -> usize {
        1
    }
    fn device(&self) -> String {
        "parrot".to_owned()
    }
}

/// A reader by a parrot, and texts of one document.
fn house(answers: impl FnOnce(&Tokenizer, &Texts) -> Vec<Vec<u32>>, foreseen: Vec<bool>) -> (Reader, Texts) {
    house_telling(answers, foreseen, Arc::default())
}

/// As [`house`]; what is read again is put into `again`.
fn house_telling(
    answers: impl FnOnce(&Tokenizer, &Texts) -> Vec<Vec<u32>>,
    foreseen: Vec<bool>,
    again: Arc<Mutex<Vec<Vec<u32>>>>,
) -> (Reader, Texts) {
    let (config, (tokenizer, _)) = (tiny(), tokenizer(&WORDS.repeat(20), 300));
    let fold = config.fold.clone().unwrap();
    let mut reader = Reader::new(
        Box::new(Parrot {
            config: config.clone(),
            context: Context::new(),
            answers: Vec::new(),
            foreseen: Vec::new(),
            documents: 0,
            next: 0,
            asked: Vec::new(),
            again: Arc::default(),
        }),
        tokenizer.clone(),
        fold,
        FontStack::embedded(),
        ScoreMode::Folded,
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), WORDS.repeat(60)).unwrap();
    let data = sources(&[dir.path().to_owned()]).unwrap();
    let texts = Texts::read(&data, &reader, &options()).unwrap();
    reader.runner = Some(Box::new(Parrot {
        answers: answers(&tokenizer, &texts),
        foreseen,
        config,
        context: Context::new(),
        documents: 0,
        next: 0,
        // Of two pages, the older; of one, that one.
        asked: vec![vec![0.0, 1.0]; 4],
        again,
    }));
    (reader, texts)
}

fn options() -> Options {
    Options {
        documents: 2,
        tokens: 200,
        stretches: 1,
        pages: 2,
        probes: 2,
        folds: 2,
        unfold: 0,
        seed: 3,
    }
}

fn watching<T>(run: impl FnOnce(&Watch<'_>) -> Result<T>) -> Result<T> {
    run(&Watch {
        tell: &|_, _, _| {},
        stop: &AtomicBool::new(false),
    })
}

#[test]
fn reading_counts_exact_pages_and_wrong_characters() {
    // β = 16, K = 48: pages of 16 and of 32 tokens, two of prose and two of random letters each.
    let answers = |tokenizer: &Tokenizer, texts: &Texts| {
        let mut answers = Vec::new();
        for size in [16, 32] {
            for i in 0..2 {
                let mut ids = texts.piece(size * 1000 + i, size).to_vec();
                // The second page of each size begins with another character.
                if i == 1 {
                    let wrong = tokenizer.encode("#").unwrap();
                    let text = tokenizer.decode(&ids);
                    let rest: String = text.chars().skip(1).collect();
                    ids = wrong.into_iter().chain(tokenizer.encode(&rest).unwrap()).collect();
                }
                answers.push(ids);
            }
            answers.extend([Vec::new(), Vec::new()]);
        }
        answers
    };
    let (mut reader, texts) = house(answers, Vec::new());
    let found = watching(|watch| probes::reading(&mut reader, &texts, &options(), watch)).unwrap();
    assert_eq!(found.len(), 4);
    for (found, size) in [(&found[0], 16), (&found[2], 32)] {
        assert_eq!(
            (found.text, found.page_tokens, found.pages, found.exact),
            ("prose", size, 2, 0.5)
        );
        let characters: usize = (0..2)
            .map(|i| {
                reader
                    .tokenizer
                    .decode(texts.piece(size * 1000 + i, size))
                    .chars()
                    .count()
            })
            .sum();
        assert_eq!(found.character_error_rate, 1.0 / characters as f64);
        // Strips of 16 cells: a visual token shows 16 characters, the last of a page perhaps fewer.
        assert!((8.0..=16.0).contains(&found.characters_per_slot), "{found:?}");
        assert!(found.ratio > 1.0);
    }
    for found in [&found[1], &found[3]] {
        assert_eq!((found.text, found.exact), ("random", 0.0));
        assert!(found.character_error_rate > 0.8, "{found:?}");
    }
}

#[test]
fn keys_are_counted_by_key_and_by_character() {
    // After 1 fold: both keys right. After 2: the first right, of the second only the first six letters.
    let answers = |tokenizer: &Tokenizer, texts: &Texts| {
        let say = |text: String| tokenizer.encode(&format!(" {text}")).unwrap();
        let half = texts.letters(2001, 12)[..6].to_owned() + "######";
        vec![
            say(texts.letters(1000, 12)),
            say(texts.letters(1001, 12)),
            say(texts.letters(2000, 12)),
            say(half),
        ]
    };
    let (mut reader, texts) = house(answers, Vec::new());
    let found = watching(|watch| probes::needles(&mut reader, &texts, &options(), watch)).unwrap();
    let figures: Vec<_> = found.iter().map(|n| (n.folds, n.keys, n.exact, n.characters)).collect();
    assert_eq!(figures, [(1, 2, 1.0, 1.0), (2, 2, 0.5, 0.75)]);
}

#[test]
fn keys_are_asked_for_with_pages_read_again() {
    // Documents in order: by attention after 1 fold (two keys), after 2; then by recency, then by words. All answers are right
    // but the second.
    let answers = |tokenizer: &Tokenizer, texts: &Texts| {
        let say = |index| tokenizer.encode(&format!(" {}", texts.letters(index, 12))).unwrap();
        let mut all: Vec<Vec<u32>> = [1000, 1001, 2000, 2001].repeat(3).into_iter().map(say).collect();
        all[1] = tokenizer.encode("######").unwrap();
        all
    };
    let again = Arc::default();
    let (mut reader, texts) = house_telling(answers, Vec::new(), Arc::clone(&again));
    let options = Options { unfold: 1, ..options() };
    let found = watching(|watch| unfolded::unfolded(&mut reader, &texts, &options, watch)).unwrap();
    let figures: Vec<_> = found
        .iter()
        .map(|u| (u.by, u.folds, u.keys, u.found, u.exact))
        .collect();
    let (by, new, words) = ("attention", "newest pages", "words in common");
    let right = [
        (by, 1, 2, 1.0, 0.5),
        (by, 2, 2, 1.0, 1.0),
        (new, 1, 2, 1.0, 1.0),
        (new, 2, 2, 0.0, 1.0),
        (words, 1, 2, 1.0, 1.0),
        (words, 2, 2, 1.0, 1.0),
    ];
    assert_eq!(figures, right);
    // One page of at most 48 tokens and the last 16, the question at the end.
    let question = reader.tokenizer.encode("\nThe key is").unwrap();
    for ids in again.lock().unwrap().iter() {
        assert!(ids.ends_with(&question) && ids.len() <= 48 + 16, "{}", ids.len());
    }
    let key = reader.tokenizer.decode(&again.lock().unwrap()[2]);
    assert!(key.contains(&texts.letters(2000, 12)), "{key}");
}

#[test]
fn copies_are_counted_with_and_without_the_text() {
    // Every copy is asked for twice: with the text, without it. Only the first of each number of folds is foreseen.
    let foreseen = vec![true, false, false, false, true, true, false, false];
    let (mut reader, texts) = house(|_, _| Vec::new(), foreseen);
    let found = watching(|watch| probes::copies(&mut reader, &texts, &options(), watch)).unwrap();
    let figures: Vec<_> = found
        .iter()
        .map(|c| (c.folds, c.texts, c.accuracy, c.accuracy_without))
        .collect();
    assert_eq!(figures, [(1, 2, 0.5, 0.0), (2, 2, 0.5, 0.5)]);
}

#[test]
fn a_whole_evaluation_agrees_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (config, (tokenizer, json)) = (tiny(), tokenizer(&WORDS.repeat(20), 300));
    let files = TokenizerFiles {
        tokenizer,
        json,
        config: crate::tokenizer_train::tokenizer_config("<bos>", "<eos>").into_bytes(),
        template: None,
    };
    let make = |name: &str, seed| {
        let out = dir.path().join(name);
        init(&out, &config, &files, seed, Dtype::F32, &Donors::default(), &mut |_| {}).unwrap();
        out
    };
    let (model, other) = (make("model", 1), make("other", 2));
    let text = dir.path().join("text");
    std::fs::create_dir(&text).unwrap();
    for i in 0..3 {
        // The same words in another order, without a full stop that all would begin behind.
        let mut words: Vec<&str> = WORDS.split(['.', ' ']).filter(|word| !word.is_empty()).collect();
        words.rotate_left(3 * i);
        words[i..].reverse();
        std::fs::write(text.join(format!("{i}.txt")), (words.join(" ") + " ").repeat(60)).unwrap();
    }
    let data = sources(&[text]).unwrap();
    let name = |name: &str| ControlName::new(name).unwrap();
    let controls = ["full", "window", "none", "none:again", "shuffled_pages", "twin"].map(|n| (model.clone(), name(n)));
    let controls: Vec<_> = controls.into_iter().chain([(other.clone(), name("other"))]).collect();
    let wanted = Options { unfold: 2, ..options() };
    let report = watching(|watch| evaluate(&model, &controls, &data, &wanted, watch)).unwrap();
    // Every page is read again by any rule.
    assert_eq!(report.unfolded.len(), 6);
    assert!(report.unfolded.iter().all(|u| (u.keys, u.found) == (2, 1.0)));
    let of = |name: &str| report.controls.iter().find(|c| c.name == name).unwrap();
    // The same weights in another memory are that mode's scores, and in the same memory make no difference.
    for (name, nll) in [
        ("full", &report.scores.full),
        ("window", &report.scores.window),
        ("none", &report.scores.none),
    ] {
        assert_eq!(&of(name).nll, nll, "{name}");
    }
    assert_eq!(of("none:again").nll, of("none").nll);
    assert_eq!(of("none").less_model, report.scores.none_less_folded);
    let twin = of("twin");
    assert_eq!((twin.less_model.unwrap().mean, &twin.nll), (0.0, &report.scores.folded));
    assert_eq!(twin.needle, report.needle);
    assert!(of("other").less_model.unwrap().mean != 0.0);
    let (shuffled, own) = (&of("shuffled_pages").nll, &report.scores.folded);
    assert!(shuffled.mean != own.mean, "{shuffled:?} {own:?}");
    assert_eq!(
        of("shuffled_pages").nll.by_offset.len(),
        report.scores.folded.by_offset.len()
    );
    let least = report.continuations.as_ref().unwrap();
    assert_eq!((least.documents, least.prompt_tokens, least.tokens), (2, 100, 96));
    let table = markdown(&report);
    for part in [
        "| chosen by | 1 | 2 |",
        "| folded |",
        "| window |",
        "shuffled_pages",
        "random",
        "ROUGE-L",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    // Stopped from outside, and what cannot be measured.
    let stopped = evaluate(
        &model,
        &[],
        &data,
        &options(),
        &Watch {
            tell: &|_, _, _| {},
            stop: &AtomicBool::new(true),
        },
    );
    assert!(stopped.unwrap_err().to_string().contains("stopped"));
    let nowhere = watching(|watch| evaluate(dir.path(), &[], &data, &options(), watch))
        .unwrap_err()
        .to_string();
    assert!(nowhere.contains("neither a model folder nor a run"), "{nowhere}");
    let long = Options {
        tokens: 100_000,
        ..options()
    };
    let error = watching(|watch| evaluate(&model, &[], &data, &long, watch))
        .unwrap_err()
        .to_string();
    assert!(error.contains("lower --tokens"), "{error}");
    // Without text there would be nothing to fill folds with, for ever.
    for tokens in [0, 1, 95] {
        let short = Options { tokens, ..options() };
        let error = watching(|watch| evaluate(&model, &[], &data, &short, watch))
            .unwrap_err()
            .to_string();
        assert!(error.contains("at least 96"), "{error}");
    }
}
