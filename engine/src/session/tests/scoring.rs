//! Scoring, and that it agrees with generation.

use super::*;
use crate::runner::Want;

#[test]
fn generation_and_scoring_see_the_same_probabilities() {
    for (sees, reread) in [(false, 0), (true, 0), (false, 3), (true, 3)] {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
            f.reread_tokens = reread;
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
                    "{mode:?} sees={sees} reread={reread} token {i}: {nll} {logprob}"
                );
            }
            assert_eq!(pages, out.folds.len());
        }
    }
}

#[test]
fn a_prompt_is_read_as_it_is_scored() {
    use crate::runner::Runner;
    let ids = tokenizer().encode(TEXT).unwrap();
    for (sees, reread) in [(false, 0), (true, 0), (false, 3), (true, 3)] {
        let mut config = config();
        if let Some(f) = &mut config.fold {
            f.visual_sees_text = sees;
            f.reread_tokens = reread;
        }
        // A prompt of full chunks, then one token: what it is drawn from must be what scoring it finds.
        let out = drain(&mut prompted(&config, ContextMode::Folded, &settings(1), &TEXT[..64]));
        let mut runner = MockRunner::new(config.clone());
        let (mode, fonts, text) = (ScoreMode::Folded, FontStack::default(), [&ids[..64], &out.ids].concat());
        let scored = score(
            &mut runner,
            &tokenizer(),
            fonts,
            &text,
            mode,
            &mut |_, _| Ok(()),
            &mut |_| (),
        )
        .unwrap();
        assert!(
            (scored.token_nll[64] + out.logprobs[0]).abs() < 1e-12,
            "sees={sees} reread={reread}"
        );
        assert_eq!(runner.context().memory_slots(), out.stats.context_slots - 1 - reread);
    }
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
fn what_is_read_again_is_the_end_of_the_page_and_counts_in_the_window() {
    use crate::runner::Runner;
    let ids = tokenizer().encode(TEXT).unwrap();
    let mut config = config();
    if let Some(f) = &mut config.fold {
        f.reread_tokens = 3;
    }
    let run = |mode| {
        let mut runner = MockRunner::new(config.clone());
        let (fonts, tokenizer) = (FontStack::default(), tokenizer());
        let s = score(
            &mut runner,
            &tokenizer,
            fonts,
            &ids[..60],
            mode,
            &mut |_, _| Ok(()),
            &mut |_| (),
        )
        .unwrap();
        let calls = runner.calls.lock().unwrap().clone();
        (s.token_nll, runner.context().clone(), calls)
    };
    let (folded, context, calls) = run(ScoreMode::Folded);
    let chunk = ["extend 16", "fold 1", "unfold 3"];
    assert_eq!(
        calls,
        [&["extend 1"][..], &chunk, &chunk, &chunk, &["extend 12"]].concat()
    );
    let (_, window, _) = run(ScoreMode::Window);
    assert_eq!(
        window.slots(),
        context.slots(),
        "as many slots as folding holds with it"
    );
    // Without pages: BOS, the three tokens, the chunk.
    let (reread, alone, _) = run(ScoreMode::Reread);
    assert_eq!((alone.unfolded_slots(), alone.slots()), (3, 1 + 3 + 12));
    let mut runner = MockRunner::new(config.clone());
    runner.extend(&[0], Want::Nothing).wait().unwrap();
    runner.keep_open();
    let first = runner.unfold(&ids[45..48], Want::Last).wait().unwrap();
    assert_eq!(reread[48], -log_softmax(first.last(), ids[48] as usize));
    let (none, ..) = run(ScoreMode::None);
    for (name, other) in [("reread", &reread), ("none", &none)] {
        assert_eq!(folded[..16], other[..16], "{name}");
        assert_ne!(folded[16..], other[16..], "{name}");
    }
    assert_ne!(reread[16..], none[16..]);
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
