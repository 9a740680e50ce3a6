//! Division, folding, ends, figures.

use super::*;

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
