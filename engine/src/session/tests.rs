//! Sessions on the mock runner: division, folding, ends, figures, restoring.

use proptest::prelude::*;

use super::mock::{MockRunner, config, tokenizer};
use super::*;
use crate::config::Config;
use crate::page::FontStack;

struct Outcome {
    ids: Vec<u32>,
    logprobs: Vec<f64>,
    text: String,
    reason: FinishReason,
    stats: Stats,
    /// Tokens and slots of every fold.
    folds: Vec<(usize, usize)>,
}

fn drain(session: &mut Session) -> Outcome {
    take(session, usize::MAX)
}

/// Pulls events; cancels once `limit` tokens came.
fn take(session: &mut Session, limit: usize) -> Outcome {
    let (mut ids, mut logprobs, mut text, mut folds, mut stats) = (vec![], vec![], String::new(), vec![], None);
    if limit == 0 {
        session.cancel();
    }
    loop {
        match session.next_event().unwrap().expect("the session ends with Done") {
            Event::Loading { done, total } => assert!(done <= total),
            Event::Token { id, text: new, logprob } => {
                ids.push(id);
                logprobs.push(logprob);
                text += &new;
                if ids.len() == limit {
                    session.cancel();
                }
            }
            Event::Page { .. } => {}
            Event::Folded { tokens, slots, .. } => folds.push((tokens, slots)),
            Event::Stats(s) => stats = Some(s),
            Event::Done { reason, text: rest } => {
                text += &rest;
                assert!(session.next_event().unwrap().is_none());
                return Outcome {
                    ids,
                    logprobs,
                    text,
                    reason,
                    stats: stats.unwrap(),
                    folds,
                };
            }
        }
    }
}

fn open(config: &Config, mode: ContextMode, settings: &Settings) -> Session {
    let runner = Box::new(MockRunner::new(config.clone()));
    Session::new(runner, tokenizer(), FontStack::default(), mode, settings.clone()).unwrap()
}

fn prompted(config: &Config, mode: ContextMode, settings: &Settings, prompt: &str) -> Session {
    let mut session = open(config, mode, settings);
    session
        .push(PartKind::Prompt, tokenizer().encode(prompt).unwrap())
        .unwrap();
    session
}

fn settings(max_new_tokens: usize) -> Settings {
    // The mock's vocabulary has an EOS that would end texts at random.
    Settings {
        max_new_tokens,
        ignore_eos: true,
        ..Settings::default()
    }
}

fn sampled(max_new_tokens: usize, seed: u64) -> Settings {
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed,
        ..Sampling::default()
    };
    Settings {
        sampling,
        ..settings(max_new_tokens)
    }
}

/// Saves, writes, reads and restores on a fresh runner.
fn reopen(session: &Session, config: &Config, settings: &Settings) -> Session {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.json");
    session.save("m", "f").unwrap().write(&path).unwrap();
    let saved = SavedSession::read(&path, "m", "f").unwrap();
    let runner = Box::new(MockRunner::new(config.clone()));
    saved
        .restore(runner, tokenizer(), FontStack::default(), settings.clone())
        .unwrap()
}

const TEXT: &str = "It was a small town, and every evening the same lamp was lit in the same window.";

#[test]
fn full_chunks_of_a_prompt_fold_in_one_call_and_a_long_tail_with_them() {
    // 3 × 16 + 5 bytes, β = 4: the tail of 5 is folded as well.
    let mut s = prompted(&config(), ContextMode::Folded, &settings(0), &TEXT[..53]);
    let out = drain(&mut s);
    assert_eq!(out.folds.iter().map(|f| f.0).collect::<Vec<_>>(), [16, 16, 16, 5]);
    // 16 characters on strips of 6 cells: 3 strips have ink; 5 characters: 1.
    assert_eq!(out.folds.iter().map(|f| f.1).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert_eq!(
        (out.stats.prompt_tokens, out.stats.folds, out.stats.context_slots),
        (53, 4, 1 + 10)
    );
    assert_eq!(out.stats.kv_bytes_full, 54 * 10);
    assert_eq!(out.stats.kv_bytes_peak, 11 * 10);
    assert_eq!(out.reason, FinishReason::Length);
    assert_eq!(out.stats.time_to_first_token_s, None);
}

#[test]
fn a_short_tail_stays_raw() {
    let mut s = prompted(&config(), ContextMode::Folded, &settings(1), &TEXT[..52]);
    let out = drain(&mut s);
    assert_eq!(out.folds.len(), 3);
    assert_eq!(out.stats.context_slots, 1 + 9 + 4 + 1);
}

#[test]
fn long_prompts_fold_eight_pages_a_call() {
    let text = TEXT.repeat(5);
    let mut s = prompted(&config(), ContextMode::Folded, &settings(0), &text);
    let out = drain(&mut s);
    assert_eq!(out.folds.len(), 25);
    let batches: Vec<usize> = s
        .driver
        .ops
        .iter()
        .filter_map(|op| match op {
            ops::Op::Fold { tokens } => Some(tokens.len()),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [8, 8, 8, 1]);
}

#[test]
fn a_chunk_closes_right_after_its_last_token_and_the_peak_counts_the_open_text() {
    for sees in [false, true] {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
        }
        let mut s = open(&config, ContextMode::Folded, &settings(32));
        let out = drain(&mut s);
        assert_eq!(out.folds.len(), 2);
        let slots: Vec<usize> = out.folds.iter().map(|f| f.1).collect();
        assert_eq!(out.stats.context_slots, 1 + slots[0] + slots[1]);
        let open = if sees { 16 + slots[1] } else { 15 };
        assert_eq!(out.stats.peak_context_slots, 1 + slots[0] + open);
        assert_eq!(out.ids.len(), 32);
    }
}

#[test]
fn generation_and_scoring_see_the_same_probabilities() {
    for sees in [false, true] {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
        }
        for (mode, score_mode) in [
            (ContextMode::Folded, ScoreMode::Folded),
            (ContextMode::Full, ScoreMode::Full),
        ] {
            let out = drain(&mut open(&config, mode, &settings(70)));
            let mut runner = MockRunner::new(config.clone());
            let mut pages = 0;
            let scored = score(
                &mut runner,
                &tokenizer(),
                FontStack::default(),
                &out.ids,
                score_mode,
                &mut |_, _| {
                    pages += 1;
                    Ok(())
                },
                &mut |_| (),
            )
            .unwrap();
            assert_eq!(scored.token_nll.len(), 70);
            for (i, (nll, logprob)) in scored.token_nll.iter().zip(&out.logprobs).enumerate() {
                assert!(
                    (nll + logprob).abs() < 1e-12,
                    "{mode:?} sees={sees} token {i}: {nll} {logprob}"
                );
            }
            assert_eq!(pages, out.folds.len());
        }
    }
}

#[test]
fn a_page_that_fills_early_closes_its_chunk_and_nothing_is_cut_off() {
    let mut config = config();
    if let Some(f) = &mut config.fold {
        f.vision.image_height = 16; // 12 cells for K = 16
        f.visual_tokens = 2;
    }
    let mut s = prompted(&config, ContextMode::Folded, &settings(60), TEXT);
    let out = drain(&mut s);
    assert_eq!(out.folds[0].0, 12);
    let folded: usize = out.folds.iter().map(|f| f.0).sum();
    assert!(folded + 16 >= TEXT.len() + 60);
    assert_eq!(out.ids.len(), 60);
}

#[test]
fn an_empty_prompt_starts_from_bos() {
    let mut s = open(&config(), ContextMode::Folded, &settings(0));
    let out = drain(&mut s);
    assert_eq!(
        (
            out.stats.prompt_tokens,
            out.stats.context_slots,
            out.stats.generated_tokens
        ),
        (0, 1, 0)
    );
    assert_eq!(
        drain(&mut open(&config(), ContextMode::Folded, &settings(3))).ids.len(),
        3
    );
}

#[test]
fn a_full_context_is_an_end_of_its_own() {
    let mut config = config();
    config.text.max_position_embeddings = 40;
    for mode in [ContextMode::Folded, ContextMode::Full] {
        let mut s = open(&config, mode, &settings(1000));
        let out = drain(&mut s);
        assert_eq!(out.reason, FinishReason::ContextFull);
        assert!(out.stats.peak_context_slots <= 40);
        let tokens = out.ids.len();
        if mode == ContextMode::Full {
            assert_eq!(tokens, 40)
        } else {
            assert!(tokens > 80, "{tokens}")
        }
        // A prompt that does not fit is read as far as it goes.
        let mut s = prompted(&config, mode, &settings(10), &TEXT.repeat(10));
        let out = drain(&mut s);
        assert_eq!((out.reason, out.ids.len()), (FinishReason::ContextFull, 0));
        // A saved full context stays full.
        let out = drain(&mut reopen(&s, &config, &settings(10)));
        assert_eq!((out.reason, out.ids.len()), (FinishReason::ContextFull, 0));
    }
}

#[test]
fn eos_ends_unless_it_is_ignored() {
    let runner = |config: Config| {
        let mut runner = MockRunner::new(config);
        runner.favour = vec![(1, 100.0)];
        Box::new(runner)
    };
    for ignore_eos in [false, true] {
        let settings = Settings {
            ignore_eos,
            max_new_tokens: 5,
            ..Settings::default()
        };
        let mode = ContextMode::Folded;
        let mut s = Session::new(runner(config()), tokenizer(), FontStack::default(), mode, settings).unwrap();
        let out = drain(&mut s);
        let expected = if ignore_eos {
            (FinishReason::Length, 5)
        } else {
            (FinishReason::Eos, 0)
        };
        assert_eq!((out.reason, out.ids.len()), expected);
        assert!(!out.ids.contains(&1));
    }
}

#[test]
fn a_stop_string_ends_the_text_and_is_not_shown() {
    let free = drain(&mut open(&config(), ContextMode::Folded, &settings(60)));
    let chars: Vec<char> = free.text.chars().collect();
    let stop: String = chars[chars.len() / 2..chars.len() / 2 + 3].iter().collect();
    let at = free.text.find(&stop).unwrap();
    let stopped = Settings {
        stop: vec![stop],
        ..settings(60)
    };
    let out = drain(&mut open(&config(), ContextMode::Folded, &stopped));
    assert_eq!((out.reason, out.text.as_str()), (FinishReason::Stop, &free.text[..at]));
    assert!(free.ids.starts_with(&out.ids) && out.ids.len() < 60);
}

#[test]
fn a_text_only_model_says_what_is_missing() {
    let config = Config { fold: None, ..config() };
    let fonts = FontStack::default();
    let runner = || Box::new(MockRunner::new(config.clone()));
    let refused = Session::new(runner(), tokenizer(), fonts.clone(), ContextMode::Folded, settings(1));
    assert!(refused.err().unwrap().to_string().contains("--context full"));
    let out = drain(&mut open(&config, ContextMode::Full, &settings(200)));
    assert_eq!(
        (out.ids.len(), out.stats.peak_context_slots, out.folds.len()),
        (200, 201, 0)
    );
}

#[test]
fn more_text_can_be_given_after_an_end() {
    let ids = tokenizer().encode(TEXT).unwrap();
    let mut live = prompted(&config(), ContextMode::Folded, &settings(10), TEXT);
    drain(&mut live);
    let mut restored = reopen(&live, &config(), &settings(20));
    for s in [&mut live, &mut restored] {
        s.push(PartKind::Turn, ids.clone()).unwrap();
        s.resume(20);
    }
    let (a, b) = (drain(&mut live), drain(&mut restored));
    assert_eq!(a.ids, b.ids);
    // The ten open response tokens were more than β and became a page.
    assert!(b.folds.iter().any(|f| f.0 == 10));
    assert_eq!(
        (b.stats.prompt_tokens, b.stats.generated_tokens),
        (TEXT.len() * 2 + 10, 20)
    );
}

#[test]
fn scoring_modes_differ_in_memory_only() {
    let ids = tokenizer().encode(TEXT).unwrap();
    let run = |mode| {
        let mut runner = MockRunner::new(config());
        let fonts = FontStack::default();
        let s = score(
            &mut runner,
            &tokenizer(),
            fonts,
            &ids,
            mode,
            &mut |_, _| Ok(()),
            &mut |_| (),
        )
        .unwrap();
        (s, runner.context().clone())
    };
    use crate::runner::Runner;
    let (folded, folded_context) = run(ScoreMode::Folded);
    assert_eq!(folded.chunks, [16; 5]);
    for mode in [ScoreMode::Full, ScoreMode::Window, ScoreMode::None] {
        let (other, context) = run(mode);
        assert_eq!(other.chunks, folded.chunks);
        assert_eq!(
            other.token_nll[..16],
            folded.token_nll[..16],
            "the first chunk has no memory yet"
        );
        assert_ne!(other.token_nll[16..], folded.token_nll[16..]);
        match mode {
            ScoreMode::Full => assert_eq!(context.slots(), 81),
            ScoreMode::Window => {
                assert_eq!(context.slots(), folded_context.slots());
                assert_eq!(context.next_position(), 81);
            }
            _ => assert_eq!(context.slots(), 1),
        }
    }
    // Without memory every chunk is predicted from BOS alone: equal chunks score equal.
    let twice: Vec<u32> = ids[..16].iter().chain(&ids[..16]).copied().collect();
    let mut runner = MockRunner::new(config());
    let fonts = FontStack::default();
    let s = score(
        &mut runner,
        &tokenizer(),
        fonts,
        &twice,
        ScoreMode::None,
        &mut |_, _| Ok(()),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!(s.token_nll[..16], s.token_nll[16..]);
}

#[test]
fn a_given_bos_is_not_doubled_and_strange_ids_are_refused() {
    let run = |ids: &[u32]| {
        let mut runner = MockRunner::new(config());
        let (mode, fonts) = (ScoreMode::Folded, FontStack::default());
        score(
            &mut runner,
            &tokenizer(),
            fonts,
            ids,
            mode,
            &mut |_, _| Ok(()),
            &mut |_| (),
        )
    };
    assert_eq!(run(&[0, 70, 71]).unwrap(), run(&[70, 71]).unwrap());
    assert!(run(&[70, 258]).unwrap_err().to_string().contains("258"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_restored_session_goes_on_token_for_token(
        total in 1usize..70,
        cut in 0usize..70,
        seed in any::<u64>(),
        sees in any::<bool>(),
        full in any::<bool>(),
        small_page in any::<bool>(),
        prompt in 0usize..60,
        stop in prop::option::of("[a-z]"),
        broken_off in any::<bool>(),
    ) {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
            if small_page {
                f.vision.image_height = 16;
                f.visual_tokens = 2;
            }
        }
        let mode = if full { ContextMode::Full } else { ContextMode::Folded };
        let cut = cut.min(total);
        let wanted = Settings { stop: stop.into_iter().collect(), ..sampled(total, seed) };
        let whole = drain(&mut prompted(&config, mode, &wanted, &TEXT[..prompt]));

        let first_settings = Settings { max_new_tokens: if broken_off { total } else { cut }, ..wanted.clone() };
        let mut first = prompted(&config, mode, &first_settings, &TEXT[..prompt]);
        let a = take(&mut first, if broken_off && cut > 0 { cut } else { usize::MAX });
        let mut second = reopen(&first, &config, &wanted);
        if a.reason == FinishReason::Stop {
            prop_assert_eq!(&a.ids, &whole.ids);
            return Ok(());
        }
        second.resume(total - a.ids.len());
        let b = drain(&mut second);
        prop_assert_eq!([a.ids, b.ids].concat(), whole.ids);
        prop_assert_eq!(a.text + &b.text, whole.text);
        prop_assert_eq!(b.reason, whole.reason);
        prop_assert_eq!(b.stats.context_slots, whole.stats.context_slots);
        prop_assert_eq!(b.folds, whole.folds, "replayed folds are told again");
    }

    #[test]
    fn a_tampered_file_is_refused_or_runs_but_never_panics(edits in prop::collection::vec((0usize..400, any::<u8>()), 1..4)) {
        let mut s = prompted(&config(), ContextMode::Folded, &sampled(20, 1), &TEXT[..40]);
        drain(&mut s);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        s.save("m", "f").unwrap().write(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // Digits for digits, so that many edits still parse.
        let digits: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i].is_ascii_digit()).collect();
        for (at, byte) in edits {
            let at = digits[at % digits.len()];
            bytes[at] = b'0' + byte % 10;
        }
        std::fs::write(&path, &bytes).unwrap();
        let Ok(saved) = SavedSession::read(&path, "m", "f") else { return Ok(()) };
        let settings = saved.settings(3);
        let runner = Box::new(MockRunner::new(config()));
        if let Ok(mut session) = saved.restore(runner, tokenizer(), FontStack::default(), settings) {
            while let Ok(Some(_)) = session.next_event() {}
        }
    }
}

#[test]
fn files_that_are_not_ours_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.json");
    let mut s = open(&config(), ContextMode::Folded, &settings(4));
    drain(&mut s);
    s.save("m", "f").unwrap().write(&path).unwrap();
    let read = |m: &str, f: &str| SavedSession::read(&path, m, f).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(read("m", "f"), Ok(()));
    assert!(read("other", "f").unwrap_err().contains("another model"));
    assert!(read("m", "other").unwrap_err().contains("another font"));
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("\"version\":1", "\"version\":2")).unwrap();
    assert!(read("m", "f").unwrap_err().contains("newer"));
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(read("m", "f").unwrap_err().contains("damaged"));
    std::fs::write(&path, "{}").unwrap();
    assert!(read("m", "f").unwrap_err().contains("not a session"));
    std::fs::remove_file(&path).unwrap();
    assert!(read("m", "f").unwrap_err().contains("cannot read"));
    let partial = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(partial, 0, "nothing half-written is left behind");
}
