//! What a step of a recipe asks of [`Learner::step_with`](crate::step::Learner::step_with).

use crate::recipe::StepSpec;
use crate::step::StepPlan;

/// The plan of a step.
///
/// The encoder sees a page in both directions: taught by `aux.next`, it hands every visual token the strip that it is to predict, and
/// nothing is learnt (seen in a model of 1 M parameters: that loss fell to 0.03 nats, and reading was lost). So it is taken in
/// every second step, and in those encoder and aligner stay as they are.
pub(crate) fn step_plan(spec: &StepSpec) -> StepPlan {
    let encoder_learns = spec.lr.vision > 0.0 || spec.lr.aligner > 0.0;
    let takes_turns = spec.aux.next > 0.0 && encoder_learns;
    let predicts_on = spec.aux.next > 0.0 && (!takes_turns || spec.stage_step.is_multiple_of(2));
    let of_encoder = |lr: f64| if predicts_on { 0.0 } else { lr };
    StepPlan {
        embedding_lr: spec.lr.embedding,
        language_model_lr: spec.lr.language_model,
        vision_lr: of_encoder(spec.lr.vision),
        aligner_lr: of_encoder(spec.lr.aligner),
        cells_weight: spec.aux.cells,
        tokens_weight: spec.aux.tokens,
        directions_weight: spec.aux.directions,
        next_weight: if predicts_on { spec.aux.next } else { 0.0 },
        weighing: spec.weighing,
        accumulate: spec.accumulate,
        clip_norm: spec.clip_norm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SampleKind;
    use crate::recipe::{AuxRecipe, LrRecipe};
    use crate::step::Weighing;

    fn plan(vision: f64, next: f64, stage_step: u64) -> StepPlan {
        step_plan(&StepSpec {
            stage: 0,
            kind: SampleKind::Olm,
            stage_step,
            entry: None,
            lr: LrRecipe {
                embedding: 1e-3,
                language_model: 1e-3,
                vision,
                aligner: vision,
            },
            aux: AuxRecipe {
                next,
                ..AuxRecipe::default()
            },
            weighing: Weighing::ALIKE,
            clip_norm: 1.0,
            accumulate: 1,
            requests: Vec::new(),
        })
    }

    #[test]
    fn what_visual_tokens_predict_never_teaches_the_encoder() {
        for step in 0..4 {
            let both = plan(1e-3, 0.5, step);
            assert_eq!(both.next_weight > 0.0, step % 2 == 0);
            assert_eq!(
                (both.vision_lr > 0.0, both.aligner_lr > 0.0),
                (step % 2 == 1, step % 2 == 1)
            );
            assert_eq!(plan(0.0, 0.5, step).next_weight, 0.5, "nothing to teach: every step");
            let without = plan(1e-3, 0.0, step);
            assert_eq!((without.vision_lr, without.next_weight), (1e-3, 0.0));
        }
    }
}
