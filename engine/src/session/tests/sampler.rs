//! The sampler.

use crate::session::sampler::*;
use proptest::prelude::*;

fn sampler(f: impl FnOnce(&mut Sampling)) -> Sampler {
    let mut s = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    f(&mut s);
    Sampler::new(s).unwrap()
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let mut s = sampler(|s| s.temperature = 0.0);
    assert_eq!(s.draw(&[0.0, 2.0, 2.0], &[], &[]).unwrap().id, 1);
    assert_eq!(s.draw(&[0.0, 2.0, 2.0], &[], &[1]).unwrap().id, 2);
}

#[test]
fn logprob_is_the_models_own() {
    let mut s = sampler(|s| (s.temperature, s.repetition_penalty) = (0.0, 4.0));
    let drawn = s.draw(&[1.0, 0.9], &[0], &[]).unwrap();
    assert_eq!(drawn.id, 1, "the penalty must bite");
    let z = 1f64.exp() + f64::from(0.9f32).exp();
    assert!((drawn.logprob - (f64::from(0.9f32) - z.ln())).abs() < 1e-9);
}

#[test]
fn frequencies_follow_the_softmax() {
    let logits = [0.0, 1.0, 2.0];
    let mut s = sampler(|s| s.temperature = 2.0);
    let mut count = [0usize; 3];
    for _ in 0..20_000 {
        count[s.draw(&logits, &[], &[]).unwrap().id as usize] += 1;
    }
    let z: f64 = logits.iter().map(|x| (f64::from(*x) / 2.0).exp()).sum();
    for i in 0..3 {
        let expected = (f64::from(logits[i]) / 2.0).exp() / z;
        assert!((count[i] as f64 / 20_000.0 - expected).abs() < 0.015, "{i}: {count:?}");
    }
}

#[test]
fn filters_keep_what_they_say() {
    let logits = [3.0f32, 2.0, 1.0, 0.0]; // 0.644, 0.237, 0.087, 0.032
    let support = |s: &mut Sampler| {
        let mut seen: Vec<u32> = (0..2000).map(|_| s.draw(&logits, &[], &[]).unwrap().id).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(support(&mut sampler(|s| s.top_k = 2)), [0, 1]);
    assert_eq!(support(&mut sampler(|s| s.top_p = 0.7)), [0, 1]);
    assert_eq!(support(&mut sampler(|s| s.top_p = 0.5)), [0]);
    assert_eq!(support(&mut sampler(|s| s.min_p = 0.1)), [0, 1, 2]);
    assert_eq!(support(&mut sampler(|_| ())), [0, 1, 2, 3]);
}

#[test]
fn ranges_are_checked() {
    for bad in [
        Sampling {
            temperature: -0.1,
            ..Sampling::default()
        },
        Sampling {
            temperature: f64::NAN,
            ..Sampling::default()
        },
        Sampling {
            top_p: 0.0,
            ..Sampling::default()
        },
        Sampling {
            top_p: 1.1,
            ..Sampling::default()
        },
        Sampling {
            min_p: -0.1,
            ..Sampling::default()
        },
        Sampling {
            repetition_penalty: 0.0,
            ..Sampling::default()
        },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
}

#[test]
fn nothing_finite_is_an_error() {
    assert!(sampler(|_| ()).draw(&[f32::NAN, f32::NAN], &[], &[]).is_err());
}

proptest! {
    #[test]
    fn seek_continues_the_stream(n in 0usize..40, m in 1usize..20, seed in any::<u64>()) {
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32).collect();
        let mut a = sampler(|s| s.seed = seed);
        for _ in 0..n { a.draw(&logits, &[], &[]).unwrap(); }
        let mut b = sampler(|s| s.seed = seed);
        b.seek(a.position());
        for _ in 0..m { prop_assert_eq!(a.draw(&logits, &[], &[]).unwrap(), b.draw(&logits, &[], &[]).unwrap()); }
    }
}
