//! Which steps a recipe comes to, and what each draws.

use super::super::load::tests::RECIPE;
use super::*;
use proptest::prelude::*;

fn plan() -> Plan {
    Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap(), 128)
}

#[test]
fn steps_follow_the_stages_and_samples_never_repeat() {
    let plan = plan();
    assert_eq!(plan.steps(), 30);
    assert_eq!(plan.step(30, &Curriculum::default()), None);
    let indices: Vec<u64> = (0..30)
        .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
        .map(|r| r.index)
        .collect();
    assert_eq!(indices, (0..10 * 4 + 20 * 3).collect::<Vec<u64>>());
    let (last, first) = (
        plan.step(9, &Curriculum::default()).unwrap(),
        plan.step(10, &Curriculum::default()).unwrap(),
    );
    assert_eq!((last.stage, last.kind, last.stage_step), (0, SampleKind::Read, 9));
    assert_eq!((first.stage, first.kind, first.stage_step), (1, SampleKind::Olm, 0));
    assert_eq!(last.lr.language_model, 0.0);
    assert!(first.lr.language_model > 0.0);
}

#[test]
fn processes_share_a_step_without_overlap() {
    let recipe = Recipe::parse(&RECIPE.replace("batch = 4", "batch = 4\naccumulate = 3"), "r.toml").unwrap();
    let plan = Plan::for_processes(&recipe, 128, 2);
    let big = Recipe::parse(
        &RECIPE
            .replace("batch = 4", "batch = 24")
            .replace("batch = 3", "batch = 6"),
        "r.toml",
    );
    let alone = Plan::new(&big.unwrap(), 128);
    for step in [0, 9, 10, 29] {
        let of = |plan: &Plan| plan.step(step, &Curriculum::default()).unwrap().requests;
        let shares = [0, 1].map(|rank| Plan::share(of(&plan), rank, 2));
        assert_eq!(shares[0].len(), shares[1].len());
        assert_eq!(shares.concat(), of(&alone), "step {step}");
    }
}

/// A recipe of two stages, the second on two sets, all streamed.
fn streamed() -> Recipe {
    let sets =
        "stream = true\n[[data.set]]\nname = \"more\"\nfiles = [\"b.txt\"]\nstream = true\n[[stage]]\nkind = \"read\"";
    let text = RECIPE
        .replacen("[[stage]]\nkind = \"read\"", sets, 1)
        .replace("steps = 20", "steps = 400");
    Recipe::parse(&text, "r.toml").unwrap()
}

proptest! {
    /// However often a run is stopped, and with whatever number of processes it goes on: every sample is drawn once, in
    /// order, by one process, and a streamed row is taken without gap or overlap.
    #[test]
    fn another_number_of_processes_goes_on_at_the_exact_sample(
        parts in proptest::collection::vec((1usize..6, 1u64..150), 1..6),
    ) {
        let recipe = streamed();
        let (mut drawn, mut first, mut index) = (Drawn::default(), 0, 0);
        let (mut next, mut of_stage) = ([0u64; 2], [0u64; 2]);
        for (processes, steps) in parts.into_iter().chain([(1, 410)]) {
            let plan = Plan::going_on(&recipe, 128, processes, drawn.clone());
            let end = (first + steps).min(plan.steps());
            prop_assert!(first == 0 || plan.step(first - 1, &Curriculum::default()).is_none());
            for step in first..end {
                let spec = plan.step(step, &Curriculum::default()).unwrap();
                for rank in 0..processes {
                    let share = Plan::share(spec.requests.clone(), rank, processes);
                    prop_assert_eq!(share.len(), if step < 10 { 4 } else { 3 });
                    for request in share {
                        prop_assert_eq!(request.index, index);
                        prop_assert_eq!(request.position, next[request.set]);
                        let ocr = of_share(0.3, of_stage[spec.stage]);
                        prop_assert_eq!(request.kind == SampleKind::Ocr, spec.stage == 1 && ocr);
                        next[request.set] += request.slot;
                        of_stage[spec.stage] += 1;
                        index += 1;
                    }
                }
            }
            drawn = plan.drawn(end);
            let json = serde_json::to_string(&drawn).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Drawn>(&json).unwrap(), &drawn);
            prop_assert_eq!((drawn.step, drawn.samples, &drawn.tokens[..]), (end, index, &next[..]));
            first = end;
        }
        prop_assert_eq!(first, 410);
    }
}

#[test]
fn chunks_follow_curriculum_and_range() {
    let plan = plan();
    let chunks = |step| {
        plan.step(step, &Curriculum::default())
            .unwrap()
            .requests
            .iter()
            .map(|r| r.chunks)
            .collect::<Vec<_>>()
    };
    assert!((10..15).all(|s| chunks(s) == [1, 1, 1]));
    let later: Vec<_> = (15..30).map(chunks).collect();
    assert!(
        later
            .iter()
            .all(|c| (2..=4).contains(&c[0]) && c.iter().all(|n| *n == c[0]))
    );
    assert!((2..=4).all(|n| later.iter().any(|c| c[0] == n)), "{later:?}");
    assert_eq!(plan, super::Plan::new(&Recipe::parse(RECIPE, "r.toml").unwrap(), 128));
}

#[test]
fn short_chunks_and_shuffled_samples_are_drawn_as_asked() {
    let text = RECIPE.replace(
        "ocr_share = 0.3",
        "chunk_tokens = [8, 12]\nshuffled_share = 0.25\nunfolded_share = 0.5\nfirst_weight = 4.0\nfirst_tokens = 3\nrepeat_weight = 2.0",
    );
    let plan = Plan::new(&Recipe::parse(&text, "r.toml").unwrap(), 128);
    let steps: Vec<StepSpec> = (10..30)
        .map(|s| plan.step(s, &Curriculum::default()).unwrap())
        .collect();
    let lengths: Vec<usize> = steps.iter().map(|s| s.requests[0].chunk_tokens.unwrap()).collect();
    assert!(lengths.iter().all(|n| (8..=12).contains(n)));
    assert!((8..=12).all(|n| lengths.contains(&n)), "{lengths:?}");
    let shuffled = steps.iter().flat_map(|s| &s.requests).filter(|r| r.shuffled).count();
    assert_eq!(shuffled, 15);
    let unfolded = steps.iter().flat_map(|s| &s.requests).filter(|r| r.unfolded).count();
    assert!((15..=45).contains(&unfolded), "{unfolded} of 60");
    let weighing = Weighing {
        first_tokens: 3,
        first_weight: 4.0,
        repeat_weight: 2.0,
    };
    assert_eq!(steps[0].weighing, weighing);
    assert_eq!(
        plan.step(0, &Curriculum::default()).unwrap().requests[0].chunk_tokens,
        None
    );
}

#[test]
fn a_streamed_row_is_taken_without_gap_or_overlap() {
    let plan = Plan::new(&streamed(), 128);
    let mut next = [0u64; 2];
    for step in 0..410 {
        for request in plan.step(step, &Curriculum::default()).unwrap().requests {
            assert_eq!(request.position, next[request.set], "sample {}", request.index);
            // Two chunks in the first stage, up to four in the second.
            assert_eq!(request.slot, if step < 10 { 2 * 128 } else { 4 * 128 });
            next[request.set] += request.slot;
        }
    }
    assert!(next[0] > 100_000 && next[1] > 100_000, "{next:?}");
}

#[test]
fn sets_are_drawn_by_weight_and_by_kind() {
    let sets = "[[data.set]]\nname = \"more\"\nfiles = [\"b.txt\"]\nweight = 3.0\n\
        [[data.set]]\nname = \"talk\"\nkind = \"chat\"\nfiles = [\"c.jsonl\"]\n[[stage]]\nkind = \"read\"";
    let text = RECIPE
        .replacen("[[stage]]\nkind = \"read\"", sets, 1)
        .replace("steps = 20", "steps = 400");
    let recipe = Recipe::parse(&text, "r.toml").unwrap();
    let plan = Plan::new(&recipe, 128);
    let drawn: Vec<usize> = (10..410)
        .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
        .map(|r| r.set)
        .collect();
    let more = drawn.iter().filter(|&&set| set == 1).count() as f64 / drawn.len() as f64;
    assert!((more - 0.75).abs() < 0.05, "{more}");
    assert!(drawn.iter().all(|&set| set < 2), "a text stage draws no chats");
    let named = text.replace("ocr_share = 0.3", "ocr_share = 0.3\ndata = [\"more\"]");
    let plan = Plan::new(&Recipe::parse(&named, "r.toml").unwrap(), 128);
    let drawn = (10..410).flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests);
    assert!(drawn.map(|r| r.set).all(|set| set == 1));
    let error = |name: &str| {
        let text = text.replace("ocr_share = 0.3", &format!("data = [\"{name}\"]"));
        Recipe::parse(&text, "r.toml").unwrap_err().to_string()
    };
    assert!(error("talk").contains("kind \"chat\"") && error("gone").contains("\"gone\""));
}

#[test]
fn ocr_samples_have_their_share() {
    let plan = plan();
    let kinds: Vec<_> = (10..30)
        .flat_map(|s| plan.step(s, &Curriculum::default()).unwrap().requests)
        .map(|r| r.kind)
        .collect();
    assert_eq!(kinds.iter().filter(|k| **k == SampleKind::Ocr).count(), 18);
    assert!(kinds.iter().all(|k| *k != SampleKind::Read));
}
