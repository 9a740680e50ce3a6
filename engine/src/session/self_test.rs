//! A known-answer test of a runner: a tiny model with weights given by a formula, and the logits it must give.

use crate::checkpoint::TensorSpec;
use crate::config::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig,
};
use crate::page::{FontStack, PageRenderer, Tint};
use crate::runner::{Runner, Want};
use crate::{Error, Result};

/// Largest deviation from the stored logits that passes.
pub const TOLERANCE: f32 = 1e-3;

/// Shape of the test model.
pub fn config() -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 8,
            hidden_size: 16,
            intermediate_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 8,
            max_position_embeddings: 64,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: false,
        },
        bos_token_id: 0,
        eos_token_id: vec![1],
        fold: Some(FoldConfig {
            vision: VisionConfig {
                hidden_size: 16,
                intermediate_size: 32,
                num_hidden_layers: 1,
                num_attention_heads: 2,
                layer_norm_eps: 1e-6,
                num_channels: 1,
                patch_height: 16,
                patch_width: 32,
                image_height: 32,
                image_width: 64,
            },
            aligner: AlignerConfig {
                kind: AlignerKind::Linear,
                hidden_size: None,
            },
            page: PageConfig {
                font_px: 14.0,
                cell_width: 8,
                cell_height: 16,
                newline: '¶',
            },
            chunk_tokens: 16,
            visual_tokens: 4,
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

/// The values of one tensor: norms are 1, the rest a fixed wave whose phase depends on the name.
pub fn weights(spec: &TensorSpec) -> Vec<f32> {
    let n = spec.shape.iter().product();
    if spec.name.contains("norm") && spec.name.ends_with("weight") {
        return vec![1.0; n];
    }
    let phase: u32 = spec.name.bytes().map(u32::from).sum();
    // Bounded products keep the sine's argument exact in f64, so that every platform sees the same weights.
    (0..n)
        .map(|i| (0.3 * f64::sin(f64::from(phase) + 0.7 * ((i * i + 3 * i) % 1009) as f64)) as f32)
        .collect()
}

/// Logits after text, a fold, and text again, on a runner of [`config`] and [`weights`].
///
/// # Errors
/// As the runner's.
pub async fn logits(runner: &mut dyn Runner) -> Result<Vec<f32>> {
    let config = config();
    runner.reset();
    runner.extend(&[0], Want::Nothing).await?;
    runner.keep_open();
    let mut out = runner.extend(&[3, 5, 2, 7], Want::Last).await?.data;
    if let Some(fold) = &config.fold {
        let page = PageRenderer::new(fold, FontStack::embedded()).render("known answer", Tint::White);
        out.extend(runner.fold(&[page], Want::Last).await?.logits.data);
    }
    out.extend(runner.extend(&[6, 4], Want::Last).await?.data);
    Ok(out)
}

/// Runs the test; gives the largest deviation.
///
/// # Errors
/// A deviation above [`TOLERANCE`]: the device computes wrongly.
pub async fn check(runner: &mut dyn Runner) -> Result<f32> {
    let found = logits(runner).await?;
    let worst = found.iter().zip(&KNOWN).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if found.len() != KNOWN.len() || worst.is_nan() || worst > TOLERANCE {
        let what = format!("off by {worst:e}, at most {TOLERANCE:e} is right: this device computes wrongly");
        return Err(Error::invalid("known-answer test", what));
    }
    Ok(worst)
}

/// The CPU runner of the test model.
///
/// # Errors
/// As the runner's.
#[cfg(feature = "flex")]
pub fn cpu_runner() -> Result<Box<dyn Runner>> {
    let device = Default::default();
    let model = crate::model::Vist2::<burn_flex::Flex>::build(&config(), &mut |spec| Ok(weights(spec)), &device)?;
    Ok(Box::new(crate::model::BurnRunner::new(model, device, "cpu (flex)")))
}

/// What [`logits`] must give (flex, f32, x86-64): text, fold, text again, eight logits each.
#[rustfmt::skip]
const KNOWN: [f32; 24] = [
    1.1181408, 1.5468212, -1.0203187, 0.2955627, 0.80413985, 1.0054033, 1.1772364, 1.4000287,
    -0.34171873, 1.5412643, 0.6414168, 0.150305, 0.04589419, 0.18848482, 0.8873742, 0.8162787,
    1.1422635, 1.5656626, -1.4654876, 0.26792365, 0.51753485, 1.2618375, 1.0582695, 1.1016462,
];

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::Wait;

    #[test]
    fn the_cpu_gives_the_known_answer_and_a_wrong_weight_does_not() {
        let mut runner = cpu_runner().unwrap();
        let found = logits(runner.as_mut()).wait().unwrap();
        let worst = found.iter().zip(&KNOWN).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < TOLERANCE / 10.0, "off by {worst}: {found:?}");
        let device = Default::default();
        let wrong = &mut |spec: &TensorSpec| {
            let by = if spec.name == "aligner.bias" { 1.1 } else { 1.0 };
            Ok(weights(spec).into_iter().map(|x| x * by).collect())
        };
        let model = crate::model::Vist2::<burn_flex::Flex>::build(&config(), wrong, &device).unwrap();
        assert!(
            check(&mut crate::model::BurnRunner::new(model, device, "cpu"))
                .wait()
                .is_err()
        );
    }
}
