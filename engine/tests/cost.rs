//! Costs: additivity, agreement with the step-by-step context, and the numbers of spec sections 3 and 6.

use folio_engine::config::{Config, FoldConfig, preset};
use folio_engine::context::Context;
use folio_engine::cost::{
    Load, Plan, Slots, decode_tokens, encode_page, fold_page, head, kv_bytes_per_slot, parameters, plan,
    token_attention, token_linear, unfold, watch_tokens,
};
use proptest::prelude::*;

fn vist2(name: &str) -> (Config, FoldConfig) {
    let config = preset(name).expect("preset");
    let fold = config.fold.clone().expect("fold");
    (config, fold)
}

fn run(config: &Config, prompt_tokens: usize, generated_tokens: usize) -> Plan {
    let load = Load {
        prompt_tokens,
        generated_tokens,
        tokens_per_page: None,
        weight_bytes: 2,
        kv_bytes: 2,
    };
    plan(config, &load)
}

#[test]
fn the_papers_example() {
    let (config, fold) = vist2("vist2-8b");
    let rule = Slots::new(&fold, fold.chunk_tokens);
    assert_eq!(rule.prompt(3784), 1024);
    let side = run(&config, 3784, 0).folded.expect("folds");
    assert_eq!((side.prompt_slots, side.folds), (1025, 4), "BOS and four pages");
    // A tail of at most β tokens stays raw.
    assert_eq!(rule.prompt(3072 + 256), 768 + 256);
    assert_eq!(rule.prompt(3072 + 257), 768 + 256);
    assert_eq!(rule.prompt(3072 + 17), 768 + 17);
}

#[test]
fn blank_patches_cost_nothing() {
    let (_, fold) = vist2("vist2-8b");
    let rule = Slots {
        reread_tokens: 0,
        skip_blank_patches: true,
        ..Slots::new(&fold, 1024)
    };
    assert_eq!(rule.prompt(3072 + 512), 768 + 128);
    assert_eq!(
        (rule.page(1), rule.page(4), rule.page(5), rule.page(1024)),
        (1, 1, 2, 256)
    );
}

#[test]
fn parameters_by_part() {
    let (config, _) = vist2("vist2-0.6b");
    let count = parameters(&config);
    assert_eq!(count.embedding, 151_936 * 1024);
    assert_eq!(count.embedding + count.decoder, 596_049_920, "Qwen3-0.6B");
    assert_eq!((count.head, count.aligner), (0, 1024 * 1024 + 1024 + 1));
    assert!(
        (3.0e8..3.1e8).contains(&(count.vision as f64)),
        "a ViT-L: {}",
        count.vision
    );
    assert_eq!(count.bytes(2), 2 * count.total());
    assert_eq!(parameters(&vist2("vist2-8b").0).head, 151_936 * 4096);
    // Every matrix of the blocks is multiplied once a token.
    let matrices = token_linear(&config.text) / 2.0;
    assert!(matrices < count.decoder as f64 && matrices > 0.999 * count.decoder as f64);
}

#[test]
fn kv_of_a_slot() {
    // Qwen3: 8 KV heads of 128; 28 layers at 0.6B, 36 at 8B; two bytes.
    assert_eq!(kv_bytes_per_slot(&vist2("vist2-0.6b").0.text, 2), 2 * 28 * 8 * 128 * 2);
    assert_eq!(kv_bytes_per_slot(&vist2("vist2-8b").0.text, 2), 147_456);
}

#[test]
fn the_savings_that_the_spec_states() {
    // Section 6: KV saved while writing is 56% at 4k tokens, 66% at 8k, 73% at 32k.
    let (big, _) = vist2("vist2-8b");
    for (tokens, saved) in [(4096, 0.56), (8192, 0.66), (32_768, 0.73)] {
        let plan = run(&big, 0, tokens);
        let folded = plan.folded.expect("folds");
        let found = 1.0 - folded.kv_bytes as f64 / plan.full.kv_bytes as f64;
        assert!((found - saved).abs() < 0.006, "{tokens}: {found}");
        assert_eq!(plan.full.kv_bytes, (tokens as u64 + 1) * plan.kv_bytes_per_slot);
    }
    // Prefill of one chunk, without attention over the context: −74% FLOPs at 8B, −55% at 0.6B, where the ViT-L weighs
    // more.
    for (name, saved) in [("vist2-8b", 0.74), ("vist2-0.6b", 0.56)] {
        let (config, fold) = vist2(name);
        let linear = token_linear(&config.text);
        let found = 1.0 - (encode_page(&fold.vision, 256) + 256.0 * linear) / (1024.0 * linear);
        assert!((found - saved).abs() < 0.015, "{name}: {found}");
        let plan = run(&config, 4096, 0);
        assert!(
            1.0 - plan.folded.expect("folds").prefill_flops / plan.full.prefill_flops > saved,
            "{name}"
        );
    }
    // Generating costs more linear FLOPs than full text does: 27–45%.
    for name in ["vist2-0.6b", "vist2-4b", "vist2-8b"] {
        let (config, fold) = vist2(name);
        let extra = fold_page(&fold, &config.text, 0, 1024, 256) / (1024.0 * token_linear(&config.text));
        assert!((0.25..0.47).contains(&extra), "{name}: {extra}");
        let plan = run(&config, 0, 2048);
        assert!(
            plan.folded.expect("folds").generate_flops > plan.full.generate_flops,
            "{name}"
        );
        let plan = run(&config, 0, 32_768);
        assert!(
            plan.folded.expect("folds").generate_flops < plan.full.generate_flops,
            "{name}"
        );
    }
}

#[test]
fn a_plan_takes_no_longer_for_more_tokens() {
    let (config, _) = vist2("vist2-0.6b");
    let plan = run(&config, 1 << 40, 1 << 40).folded.expect("folds");
    assert_eq!(plan.slots, 1 + (1 << 39));
    assert_eq!(plan.folds, 1 << 31);
}

#[test]
fn a_text_only_model_has_no_folded_side() {
    let config = Config {
        fold: None,
        ..vist2("vist2-0.6b").0
    };
    let plan = run(&config, 100, 10);
    assert_eq!(plan.folded, None);
    assert_eq!((plan.parameters.vision, plan.parameters.aligner), (0, 0));
    assert_eq!(plan.full.slots, 111);
}

/// `folio-nano` with other chunking.
fn chunked(tokens: usize, visual: usize, skip: bool) -> Config {
    let mut config = preset("folio-nano").expect("preset");
    let fold = config.fold.as_mut().expect("fold");
    (fold.chunk_tokens, fold.visual_tokens, fold.skip_blank_patches) = (tokens, visual, skip);
    config
}

proptest! {
    #[test]
    fn tokens_add_up(memory in 0usize..5000, a in 0usize..500, b in 0usize..500) {
        let text = preset("folio-nano").expect("preset").text;
        let apart = decode_tokens(&text, memory, a) + decode_tokens(&text, memory + a, b);
        prop_assert_eq!(decode_tokens(&text, memory, a + b), apart);
        let one = token_linear(&text) + token_attention(&text, memory + 1);
        prop_assert_eq!(decode_tokens(&text, memory, 1), one);
    }

    #[test]
    fn a_plan_is_its_pages_one_by_one(
        prompt in 0usize..3000, generated in 0usize..2000, sees_text in any::<bool>(), reread in prop::sample::select(vec![0usize, 16, 40]),
    ) {
        let mut config = chunked(128, 32, true);
        config.fold.as_mut().expect("fold").visual_sees_text = sees_text;
        config.fold.as_mut().expect("fold").reread_tokens = reread;
        let fold = config.fold.clone().expect("fold");
        let text = &config.text;
        let read = |memory: usize, tokens: usize, slots: usize| {
            let seen = if sees_text { decode_tokens(text, memory, tokens) } else { 0.0 };
            seen + fold_page(&fold, text, memory, tokens, slots)
        };
        let (mut left, mut memory) = (prompt, 1);
        let mut prefill = decode_tokens(text, 0, 1) + head(text);
        while left > 32 {
            let tokens = left.min(128);
            prefill += read(memory, tokens, tokens.div_ceil(4));
            memory += tokens.div_ceil(4);
            left -= tokens;
        }
        prefill += decode_tokens(text, memory, left);
        memory += left;
        let mut generating = 0.0;
        // Read again behind a page only: not behind a raw tail.
        let last = if prompt % 128 == 0 { 128 } else { prompt % 128 };
        let mut again = if prompt > 0 && left == 0 { reread.min(last) } else { 0 };
        let read_again = |memory: usize, n: usize| if n > 0 { unfold(text, memory, n) } else { 0.0 };
        if generated > 0 {
            prefill += read_again(memory, again);
        }
        for written in 1..=generated {
            let open = (written - 1) % 128;
            if open == 0 && written > 1 {
                generating += read_again(memory, again);
            }
            generating += decode_tokens(text, memory + again + open, 1) + head(text);
            if open == 127 {
                let seen = if sees_text { again } else { 0 };
                generating += fold_page(&fold, text, memory + seen, 128, 32) + head(text);
                memory += 32;
                again = reread;
            }
        }
        let folded = run(&config, prompt, generated).folded.expect("folds");
        prop_assert_eq!(folded.prefill_flops, prefill);
        prop_assert_eq!(folded.generate_flops, generating);
        let open = generated % 128;
        prop_assert_eq!(folded.slots, memory + open + if open > 0 { again } else { 0 });
    }

    #[test]
    fn generation_adds_up(prompt in 0usize..3000, a in 0usize..8, b in 0usize..300) {
        let config = chunked(128, 32, false);
        // Full: splitting a generation anywhere changes nothing.
        let (whole, first) = (run(&config, prompt, a + b), run(&config, prompt, a));
        let rest = run(&config, prompt + a, b);
        prop_assert_eq!(whole.full.generate_flops, first.full.generate_flops + rest.full.generate_flops);
        // Folded: splitting it after a fold changes nothing.
        let (whole, first) = (run(&config, prompt, a * 128 + b), run(&config, prompt, a * 128));
        let (whole, first) = (whole.folded.expect("folds"), first.folded.expect("folds"));
        prop_assert_eq!(first.folds + b / 128, whole.folds);
        prop_assert_eq!(first.slots + b / 128 * 32 + b % 128, whole.slots);
        prop_assert!(whole.generate_flops >= first.generate_flops);
    }

    /// The formulas against `Context`, step by step.
    #[test]
    fn slots_are_those_of_the_context(
        k in 1usize..40, ratio in 1usize..5, skip in any::<bool>(), prompt in 0usize..300, generated in 0usize..300,
        reread in 0usize..9,
    ) {
        let visual = k.div_ceil(ratio);
        let reread = reread.min(k);
        let mut config = chunked(k, visual, skip);
        config.fold.as_mut().expect("fold").reread_tokens = reread;
        let fold = config.fold.clone().expect("fold");
        let rule = Slots::new(&fold, k);
        let mut context = Context::new();
        context.extend(1);
        context.keep_open();
        // Tokens of the page just folded, until what follows is begun.
        let (mut left, mut folded) = (prompt, 0);
        while left > 0 {
            let tokens = left.min(k);
            context.extend(tokens);
            folded = if tokens == k || tokens > visual { tokens } else { 0 };
            if folded > 0 {
                context.fold(rule.page(tokens));
            } else {
                context.keep_open();
            }
            left -= tokens;
        }
        let whole = run(&config, prompt, generated);
        let plan = whole.folded.expect("folds");
        prop_assert_eq!(plan.prompt_slots, context.slots());
        let mut peak = context.slots();
        for _ in 0..generated {
            let page = std::mem::take(&mut folded);
            if page > 0 {
                context.unfold(reread.min(page));
            }
            context.extend(1);
            peak = peak.max(context.slots());
            if context.open_slots() - context.unfolded_slots() == k {
                context.fold(visual);
                folded = k;
            }
        }
        prop_assert_eq!(plan.slots, context.slots());
        prop_assert_eq!(plan.peak_slots, peak);
        prop_assert_eq!(plan.kv_bytes, peak as u64 * whole.kv_bytes_per_slot);
    }

    #[test]
    fn costs_grow(n in 1usize..64) {
        let (config, fold) = vist2("vist2-0.6b");
        prop_assert!(encode_page(&fold.vision, n + 1) > encode_page(&fold.vision, n));
        // Attention makes it more than proportional.
        prop_assert!(encode_page(&fold.vision, 2 * n) > 2.0 * encode_page(&fold.vision, n));
        let sees = FoldConfig { visual_sees_text: true, ..fold.clone() };
        let text = &config.text;
        prop_assert!(fold_page(&sees, text, 5, n, 256) > fold_page(&fold, text, 5, n, 256));
        prop_assert_eq!(fold_page(&sees, text, 5, n, 256), fold_page(&fold, text, 5 + n, 0, 256));
        prop_assert!(head(text) > 0.0);
    }
}

#[test]
fn unfolding_costs_its_text_and_the_scores_once_more() {
    let (config, fold) = vist2("vist2-0.6b");
    let text = &config.text;
    let rule = Slots::new(&fold, fold.chunk_tokens);
    assert_eq!((rule.unfolded(0), rule.unfolded(3)), (0, 3 * 1024 + 256));
    // As if the chunk were so much longer.
    let whole = decode_tokens(text, 500, 300 + 40);
    let parts = unfold(text, 500, 300) - head(text) + decode_tokens(text, 500 + 300, 40);
    assert!((whole - parts).abs() < 1e-6 * whole);
    // Scores are half of attention.
    let seen: f64 = watch_tokens(text, 500, 7);
    assert_eq!(seen, 7.0 * token_attention(text, 500) / 2.0);
}
