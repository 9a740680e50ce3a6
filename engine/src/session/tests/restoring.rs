//! Session files: a restored session goes on as if nothing had been.

use crate::Wait;
use proptest::prelude::*;

use super::*;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_session_settled_between_two_tokens_can_be_saved_and_goes_on(cut in 1usize..40, seed in any::<u64>(), sees in any::<bool>()) {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
        }
        let wanted = Settings { ignore_eos: true, ..sampled(40, seed) };
        let open = || prompted(&config, ContextMode::Folded, &wanted, &TEXT[..30]);
        let whole = drain(&mut open());
        let mut live = open();
        let mut shown = Vec::new();
        while shown.len() < cut {
            if let Some(Event::Token { id, .. }) = live.next_event().wait().unwrap() {
                shown.push(id);
            }
        }
        live.settle().wait().unwrap();
        let mut restored = reopen(&live, &config, &wanted);
        restored.resume(40 - cut);
        prop_assert_eq!([&shown[..], &drain(&mut restored).ids].concat(), &whole.ids[..]);
        prop_assert_eq!([&shown[..], &drain(&mut live).ids].concat(), &whole.ids[..], "the live one goes on, too");
    }

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
        (unfold, reread) in (0usize..4, 0usize..7),
    ) {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
            f.reread_tokens = reread;
            if small_page {
                f.vision.image_height = 16;
                f.visual_tokens = 2;
            }
        }
        let mode = if full { ContextMode::Full } else { ContextMode::Folded };
        let cut = cut.min(total);
        let unfold = if full { 0 } else { unfold };
        let wanted = Settings { stop: stop.into_iter().collect(), unfold, ..sampled(total, seed) };
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
        let pages = |told: Vec<(usize, Vec<usize>)>| told.into_iter().map(|(_, pages)| pages).collect::<Vec<_>>();
        prop_assert_eq!(pages(b.unfolds), pages(whole.unfolds), "and so are unfolded pages");
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
            while let Ok(Some(_)) = session.next_event().wait() {}
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
    std::fs::write(&path, good.replace("\"version\":1", "\"version\":3")).unwrap();
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
