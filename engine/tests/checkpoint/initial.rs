//! Initial values.

use folio_engine::checkpoint::{init_tensor, tensors};
use folio_engine::config::{AlignerKind, preset};
use std::collections::HashSet;

#[test]
fn initial_values_follow_the_recipe() {
    let mut config = preset("folio-nano").expect("preset");
    config.text.num_hidden_layers = 4;
    let fold = config.fold.as_mut().expect("fold");
    fold.aligner.kind = AlignerKind::Tanh;
    fold.vision.num_hidden_layers = 3;
    let patch_len = fold.vision.patch_len() as f64;
    let rms = |values: &[f32]| (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    let mut starts = HashSet::new();
    for spec in tensors(&config) {
        let values = init_tensor(&config, &spec, 5);
        assert_eq!(values.len(), spec.elements());
        let name = spec.name.as_str();
        if name == "aligner.scale" {
            assert_eq!(values, [0.02]);
        } else if name.ends_with(".bias") {
            assert!(values.iter().all(|v| *v == 0.0), "{name}");
        } else if spec.shape.len() == 1 {
            assert!(values.iter().all(|v| *v == 1.0), "{name}");
        } else {
            let right = if name.contains("patch_embedding") {
                1.0 / patch_len.sqrt()
            } else if name.contains("o_proj") || name.contains("down_proj") {
                0.02 / 8f64.sqrt()
            } else if name.contains("out_proj") || name.contains("fc2") {
                0.02 / 6f64.sqrt()
            } else {
                0.02
            };
            assert!(
                (rms(&values) / right - 1.0).abs() < 0.05,
                "{name}: {} for {right}",
                rms(&values)
            );
            assert!(
                starts.insert(values[0].to_bits()),
                "{name} repeats another tensor's stream"
            );
            assert_eq!(values, init_tensor(&config, &spec, 5), "the same seed, the same values");
            assert_ne!(values, init_tensor(&config, &spec, 6), "another seed, other values");
        }
    }
}
