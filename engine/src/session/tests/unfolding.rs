//! Unfolding on the mock runner: what is read again, when, at which positions, and that nothing else changes.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

fn unfolding(unfold: usize, settings: Settings) -> Settings {
    Settings { unfold, ..settings }
}

/// A session, and the calls that its runner will have seen.
fn listening(prompt: &str, settings: Settings) -> (Session, Arc<Mutex<Vec<String>>>) {
    rereading(0, prompt, settings)
}

/// As [`listening`], of a model that reads so many tokens again after every fold.
fn rereading(tokens: usize, prompt: &str, settings: Settings) -> (Session, Arc<Mutex<Vec<String>>>) {
    let mut config = config();
    if let Some(f) = &mut config.fold {
        f.reread_tokens = tokens;
    }
    let runner = Box::new(MockRunner::new(config));
    let calls = runner.calls.clone();
    let mut session = Session::new(runner, tokenizer(), FontStack::default(), ContextMode::Folded, settings).unwrap();
    session
        .push(PartKind::Prompt, tokenizer().encode(prompt).unwrap())
        .unwrap();
    (session, calls)
}

#[test]
fn stretches_follow_the_document_and_none_comes_twice() {
    let pages = [1..17, 17..33, 33..49, 49..60];
    assert_eq!(reread(&pages, &[0, 2], 60, 4), [1..17, 33..49, 56..60]);
    assert_eq!(reread(&pages, &[0, 3], 60, 4), [1..17, 49..60]);
    assert_eq!(reread(&pages, &[1, 2, 3], 64, 6), std::slice::from_ref(&(17..64)));
    assert_eq!(reread(&pages, &[1], 70, 0), [17..33, 70..70]);
    // BOS is not read again.
    assert_eq!(reread(&pages[..1], &[0], 18, 30), std::slice::from_ref(&(1..18)));
}

proptest! {
    /// Against a plain definition: no page that was left out was asked for more than one that was taken.
    #[test]
    fn the_pages_asked_for_most_are_taken(asked in prop::collection::vec(0u8..6, 0..12), n in 0usize..14) {
        let asked: Vec<f64> = asked.into_iter().map(f64::from).collect();
        let taken = most_asked(&asked, n);
        prop_assert_eq!(taken.len(), n.min(asked.len()));
        prop_assert!(taken.is_sorted_by(|a, b| a < b));
        for left in (0..asked.len()).filter(|page| !taken.contains(page)) {
            for &page in &taken {
                prop_assert!((asked[page], page) > (asked[left], left), "{page} against {left} of {asked:?}");
            }
        }
    }

    #[test]
    fn off_is_as_if_there_were_none(prompt in 0usize..60, total in 0usize..50, seed in any::<u64>()) {
        let off = prompted(&config(), ContextMode::Folded, &sampled(total, seed), &TEXT[..prompt]);
        prop_assert!(!String::from_utf8(off.save("m", "f").map(|s| s.to_json().unwrap()).unwrap_or_default()).unwrap().contains("unfold"));
        let mut off = off;
        let out = drain(&mut off);
        prop_assert!(out.unfolds.is_empty() && out.stats.unfold.is_none());
        let json = serde_json::to_string(&out.stats).unwrap();
        prop_assert!(!json.contains("unfold"), "{}", json);
        prop_assert!(off.save("m", "f").unwrap().to_json().unwrap().windows(6).all(|w| w != b"unfold"));
    }

    /// The memory after a run is what folding the same tokens makes it, whatever was read again meanwhile.
    #[test]
    fn the_memory_is_that_of_folding_alone(
        prompt in 0usize..70,
        total in 0usize..60,
        unfold in 1usize..6,
        seed in any::<u64>(),
        small_page in any::<bool>(),
        reread in 0usize..7,
    ) {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.reread_tokens = reread;
            if small_page {
                f.vision.image_height = 16;
                f.visual_tokens = 2;
            }
        }
        let mut session = prompted(&config, ContextMode::Folded, &unfolding(unfold, sampled(total, seed)), &TEXT[..prompt]);
        let out = drain(&mut session);
        let folded: usize = out.folds.iter().map(|fold| fold.1).sum();
        let context = session.context();
        let raw: usize = context.segments().iter().filter(|s| s.kind == crate::context::SegmentKind::Text).map(|s| s.slots).sum();
        prop_assert_eq!(context.memory_slots(), folded + raw);
        let pages: Vec<_> = context.page_rows().map(|rows| rows.len()).collect();
        prop_assert_eq!(pages, out.folds.iter().map(|fold| fold.1).collect::<Vec<_>>());
        prop_assert!(out.unfolds.iter().all(|(_, pages)| !pages.is_empty() && pages.len() <= unfold));
        let stats = out.stats.unfold.unwrap();
        prop_assert_eq!(stats.times, out.unfolds.len());
        prop_assert_eq!(stats.text_bytes, 4 * out.folds.iter().map(|fold| fold.0).sum::<usize>());
        prop_assert!(stats.slots_peak <= unfold * 16 + reread.max(4));
        prop_assert!(out.stats.peak_context_slots >= context.slots());
        // Once for every chunk that is begun behind a page.
        let begun = out.unfolds.iter().map(|unfold| unfold.0).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(begun.len(), out.unfolds.len(), "{:?}", out.unfolds);
    }

    /// As many pages as there are: every token of the document is there as text again.
    #[test]
    fn enough_pages_are_the_whole_text(prompt in 17usize..80, total in 1usize..40, seed in any::<u64>()) {
        let mut session = prompted(&config(), ContextMode::Folded, &unfolding(99, sampled(total, seed)), &TEXT[..prompt]);
        let out = drain(&mut session);
        let stats = out.stats.unfold.unwrap();
        prop_assert!(stats.times > 0);
        let (last, pages) = out.unfolds.last().unwrap();
        prop_assert_eq!(pages.clone(), (0..pages.len()).collect::<Vec<_>>());
        // All pages, and what follows on the last of them.
        let told = &session.driver.unfolding.pages;
        prop_assert_eq!(told[0].start, 1);
        let (pages, open) = (told.iter().map(|page| page.len()).sum::<usize>(), out.ids.len() - last);
        let again = session.context().unfolded_slots();
        if again > 0 {
            let after = session.tokens().len() - open - told[told.len() - 1].end;
            prop_assert_eq!(again, pages + after.min(4));
        }
    }

    /// The cut may fall anywhere, more text may follow, as a turn of a chat does.
    #[test]
    fn more_text_after_a_restored_end(
        first in 1usize..40,
        unfold in 0usize..4,
        turn in 1usize..50,
        seed in any::<u64>(),
        sees in any::<bool>(),
        reread in 0usize..7,
    ) {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
            f.reread_tokens = reread;
        }
        let wanted = unfolding(unfold, sampled(first, seed));
        let mut live = prompted(&config, ContextMode::Folded, &wanted, &TEXT[..40]);
        drain(&mut live);
        let mut restored = reopen(&live, &config, &wanted);
        let marks = tokenizer().encode("\n>").unwrap();
        for s in [&mut live, &mut restored] {
            s.push(PartKind::Raw, marks.clone()).unwrap();
            s.push(PartKind::Turn, tokenizer().encode(&TEXT[..turn]).unwrap()).unwrap();
            s.push(PartKind::Raw, marks.clone()).unwrap();
            s.resume(30);
        }
        let (a, b) = (drain(&mut live), drain(&mut restored));
        prop_assert_eq!(a.ids, b.ids);
        let told: Vec<_> = b.unfolds[b.unfolds.len() - a.unfolds.len()..].iter().map(|u| u.1.clone()).collect();
        prop_assert_eq!(a.unfolds.iter().map(|u| u.1.clone()).collect::<Vec<_>>(), told);
        prop_assert_eq!(live.context(), restored.context());
    }
}

#[test]
fn a_prompt_is_read_as_before_but_for_the_text_of_its_last_chunk() {
    let of = |unfold, length| {
        let (mut s, calls) = listening(&TEXT[..length], unfolding(unfold, settings(1)));
        drain(&mut s);
        calls.lock().unwrap().clone()
    };
    // Three full chunks and a tail of 5, which is folded (β = 4); then a tail of 4, which stays.
    assert_eq!(of(0, 53), ["extend 1", "fold 4", "extend 1"]);
    assert_eq!(
        of(1, 53),
        ["extend 1", "fold 3", "extend 5", "fold 1", "unfold 20", "extend 1"]
    );
    assert_eq!(of(0, 52), ["extend 1", "fold 3", "extend 4", "extend 1"]);
    assert_eq!(of(1, 52), ["extend 1", "fold 3", "extend 4", "unfold 20", "extend 1"]);
    // Without a page there is nothing to read again.
    assert_eq!(of(2, 4), of(0, 4));
}

#[test]
fn the_end_of_a_page_is_read_again_before_the_chunk_after_it() {
    let of = |length, settings| {
        let (mut s, calls) = rereading(5, &TEXT[..length], settings);
        let out = drain(&mut s);
        assert!(
            out.unfolds.iter().all(|unfold| !unfold.1.is_empty()),
            "of no page nothing is told"
        );
        let (calls, context) = (calls.lock().unwrap().clone(), s.context().clone());
        (calls, context, out)
    };
    // Three full chunks and a tail of 5, which is folded (β = 4), then a token; a tail of 4 stays, and nothing is read again.
    let (calls, context, out) = of(53, settings(1));
    assert_eq!(calls, ["extend 1", "fold 4", "unfold 5", "extend 1"]);
    assert_eq!((context.unfolded_slots(), context.open_slots()), (5, 6));
    assert!(out.stats.unfold.is_none(), "nobody asked for pages");
    assert_eq!(of(52, settings(1)).0, ["extend 1", "fold 3", "extend 4", "extend 1"]);
    // The response begins a chunk of its own, which folds at sixteen tokens.
    let (calls, _, out) = of(4, settings(18));
    assert_eq!(calls[calls.len() - 4..], ["fold 1", "unfold 5", "extend 1", "extend 1"]);
    assert_eq!(out.folds.iter().map(|fold| fold.0).collect::<Vec<_>>(), [16]);
    assert_eq!(
        out.stats.peak_context_slots,
        1 + 4 + 15,
        "BOS, the tail, the chunk but for its last token"
    );
    // Where pages are read again, that is all: their tail is as long.
    let (calls, ..) = of(48, unfolding(1, settings(1)));
    assert_eq!(calls[3..], ["fold 1", "unfold 21", "extend 1"].map(String::from));
    // Nothing is drawn: nothing is read again.
    assert_eq!(of(53, settings(0)).0, ["extend 1", "fold 4"]);
}

#[test]
fn a_short_reply_that_stays_raw_is_run_again_where_it_belongs() {
    let (mut s, calls) = listening(&TEXT[..48], unfolding(1, settings(3)));
    drain(&mut s);
    assert_eq!((s.context().unfolded_slots(), s.context().open_slots()), (20, 23));
    s.push(PartKind::Raw, tokenizer().encode(".").unwrap()).unwrap();
    s.resume(0);
    drain(&mut s);
    // BOS, three pages, the reply of three, one more.
    assert_eq!((s.context().slots(), s.context().unfolded_slots()), (1 + 9 + 3 + 1, 0));
    assert_eq!(
        calls.lock().unwrap()[5..],
        ["extend 1", "extend 1", "extend 1", "extend 3", "extend 1"]
    );
}

#[test]
fn where_there_is_no_room_fewer_pages_are_read_again() {
    for (limit, most) in [(4096, 3), (70, 2), (50, 1), (40, 0)] {
        let mut config = config();
        config.text.max_position_embeddings = limit;
        let mut s = prompted(&config, ContextMode::Folded, &unfolding(3, settings(1)), &TEXT[..48]);
        let out = drain(&mut s);
        let pages: usize = out.unfolds.iter().map(|unfold| unfold.1.len()).sum();
        assert_eq!((pages, out.ids.len()), (most, 1), "of {limit} slots");
    }
}

#[test]
fn what_cannot_unfold_says_so() {
    let runner = || Box::new(MockRunner::new(config()));
    let full = Session::new(
        runner(),
        tokenizer(),
        FontStack::default(),
        ContextMode::Full,
        unfolding(1, settings(1)),
    );
    assert!(full.err().unwrap().to_string().contains("--context full"));
}

#[test]
fn journals_that_unfold_what_is_not_there_are_refused() {
    let mut s = prompted(&config(), ContextMode::Folded, &unfolding(2, settings(20)), &TEXT[..48]);
    drain(&mut s);
    let good = String::from_utf8(s.save("m", "f").unwrap().to_json().unwrap()).unwrap();
    let pages = |text: &str| {
        SavedSession::from_json(text.as_bytes(), "x", "m", "f")
            .unwrap()
            .check(&config(), &tokenizer())
    };
    assert!(pages(&good).is_ok());
    let at = good.find("\"op\":\"unfold\",\"pages\":[").unwrap() + 23;
    let end = at + good[at..].find(']').unwrap();
    for wrong in ["", "7", "1,0", "1,1", "0,3"] {
        let error = pages(&format!("{}{wrong}{}", &good[..at], &good[end..]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("damaged") && error.contains("read again"),
            "{wrong}: {error}"
        );
    }
    let twice = "{\"op\":\"unfold\",\"pages\":[0]},{\"op\":\"unfold\",\"pages\":[";
    let error = pages(&good.replacen("{\"op\":\"unfold\",\"pages\":[", twice, 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no chunk begins"), "{error}");
    // Of no page: only where the model reads again in any case.
    let none = format!("{}{}", &good[..at], &good[end..]);
    let mut rereads = config();
    if let Some(f) = &mut rereads.fold {
        f.reread_tokens = 3;
    }
    let saved = SavedSession::from_json(none.as_bytes(), "x", "m", "f").unwrap();
    saved.check(&rereads, &tokenizer()).unwrap();
    let first = none.find("{\"op\":\"fold\"").unwrap();
    let early = format!(
        "{}{{\"op\":\"unfold\",\"pages\":[]}},{}",
        &none[..first],
        &none[first..]
    );
    let saved = SavedSession::from_json(early.as_bytes(), "x", "m", "f").unwrap();
    let error = saved.check(&rereads, &tokenizer()).unwrap_err().to_string();
    assert!(error.contains("read again"), "{error}");
}
