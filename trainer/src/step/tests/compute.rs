//! How a step is computed changes nothing of what it learns but by rounding.

use super::*;
use crate::compute::Precision;
use folio_engine::config::PageEncoder;

/// All losses.
fn plan() -> StepPlan {
    StepPlan {
        tokens_weight: 0.2,
        directions_weight: 0.3,
        ..step_plan()
    }
}

/// Every kind of sample under both visibilities, kinds mixed, and the controls that read no image.
fn cases() -> Vec<(Config, Vec<Sample>)> {
    let mut cases = Vec::new();
    for sees_text in [false, true] {
        let config = config(sees_text, AlignerKind::Tanh);
        for kind in SampleKind::ALL {
            let samples = (0..3).map(|d| sample(&config, kind, d)).collect();
            cases.push((config.clone(), samples));
        }
        let mixed = SampleKind::ALL
            .iter()
            .zip(0..)
            .map(|(&kind, d)| sample(&config, kind, d));
        cases.push((config.clone(), mixed.collect()));
    }
    for encoder in [PageEncoder::MeanPool, PageEncoder::ConvPyramid] {
        let mut config = config(false, AlignerKind::Mlp);
        config.fold.as_mut().unwrap().page_encoder = encoder;
        let samples = (0..3).map(|d| sample(&config, SampleKind::Olm, d)).collect();
        cases.push((config, samples));
    }
    cases
}

/// The gradients of every parameter that has one, by name.
fn gradients(model: &Model, share: &Share<Flex>) -> Vec<(String, Vec<f32>)> {
    let of = |(p, g): (Parameter<Flex>, &Option<FlexTensor>)| Some((p.name, values(g.as_ref()?)));
    parameters(model).into_iter().zip(&share.grads).filter_map(of).collect()
}

fn norm(x: impl Iterator<Item = f32>) -> f64 {
    x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn blocks_computed_again_have_the_same_gradients() {
    let again = Compute {
        activation_checkpointing: true,
        ..Compute::default()
    };
    for (config, samples) in cases() {
        let (model, head) = model(&config);
        let (loss, plain) = share_by(&model, &head, &samples, &plan(), Compute::default());
        let (same, kept) = share_by(&model, &head, &samples, &plan(), again);
        let what = format!(
            "{:?} {:?}",
            samples[0].kind,
            config.fold.as_ref().map(|f| f.page_encoder)
        );
        assert_eq!(loss, same, "{what}");
        let (plain, kept) = (gradients(&model, &plain), gradients(&model, &kept));
        assert_eq!(plain.len(), kept.len(), "{what}");
        let mut exact = 0;
        for ((name, a), (other, b)) in plain.iter().zip(&kept) {
            assert_eq!(name, other);
            let apart = norm(a.iter().zip(b).map(|(a, b)| a - b));
            assert!(apart <= 1e-6 * norm(a.iter().copied()), "{what}: {name} {apart}");
            exact += usize::from(a == b);
        }
        // Only where gradients of several uses are added up may their order differ.
        assert!(
            exact > plain.len() / 2 || samples[0].kind == SampleKind::Read,
            "{what}: {exact} of {}",
            plain.len()
        );
    }
}

#[test]
fn products_of_sixteen_bits_have_nearly_the_same_gradients() {
    // bf16 has 8 bits: a rounding is 2⁻⁹ at most, and a product sums many that mostly cancel.
    let half = |activation_checkpointing| Compute {
        precision: Precision::Bf16,
        activation_checkpointing,
    };
    for (config, samples) in cases() {
        let (model, head) = model(&config);
        let (loss, exact) = share_by(&model, &head, &samples, &plan(), Compute::default());
        let (near, rounded) = share_by(&model, &head, &samples, &plan(), half(false));
        let what = format!("{:?}", samples[0].kind);
        assert!(
            (loss - near).abs() < 0.01 * loss.abs().max(0.1),
            "{what}: {loss} {near}"
        );
        let (exact, rounded) = (gradients(&model, &exact), gradients(&model, &rounded));
        assert_eq!(exact.len(), rounded.len(), "{what}");
        let (mut apart, mut all, mut differ) = (0.0, 0.0, false);
        for ((name, a), (_, b)) in exact.iter().zip(&rounded) {
            let (difference, size) = (norm(a.iter().zip(b).map(|(a, b)| a - b)), norm(a.iter().copied()));
            assert!(difference < 0.1 * size + 1e-4, "{what}: {name} {difference} of {size}");
            (apart, all) = (apart + difference.powi(2), all + size.powi(2));
            differ |= a != b;
        }
        assert!(apart.sqrt() < 0.03 * all.sqrt(), "{what}: {apart} of {all}");
        assert!(differ, "{what}: nothing was rounded");
        let (_, again) = share_by(&model, &head, &samples, &plan(), half(true));
        for ((name, a), (_, b)) in rounded.iter().zip(&gradients(&model, &again)) {
            let apart = norm(a.iter().zip(b).map(|(a, b)| a - b));
            assert!(apart <= 1e-5 * norm(a.iter().copied()), "{what}: {name} {apart}");
        }
    }
}
