//! Auxiliary losses on the visual tokens: they make pages legible before the decoder has learnt to look
//! (spec section 5, "measured hints").

use crate::linear_ce::{Answers, cross_entropy, linear_ce};
use burn::module::{Module, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Distribution, FloatDType, Int, Tensor, TensorData, activation};
use folio_engine::model::Fused;

/// Classes of a cell: blank, 95 printable ASCII characters, the newline mark, anything else.
pub const CELL_CLASSES: usize = 98;

/// A linear head that names the character in every cell of a patch from its visual token. Only training has it.
#[derive(Module, Debug)]
pub struct CellHead<B: Backend> {
    /// `[cells × CELL_CLASSES, d]`.
    pub weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> CellHead<B> {
    /// A fresh head for patches of `cells` cells. Seed the backend before for a reproducible one.
    pub fn new(cells: usize, hidden_size: usize, device: &B::Device) -> Self {
        let shape = [cells * CELL_CLASSES, hidden_size];
        Self {
            weight: Param::from_tensor(Tensor::random(shape, Distribution::Normal(0.0, 0.02), device)),
        }
    }

    /// Mean cross-entropy (nats a cell) of `classes` (`rows × cells` class ids) given visual tokens `[rows, d]`.
    pub fn loss(&self, visual: Tensor<B, 2>, classes: &[u8]) -> Tensor<B, 1> {
        let log_p = activation::log_softmax(self.logits(visual, classes.len()), 1);
        let n = classes.len();
        let ids: Vec<i32> = classes.iter().map(|&c| i32::from(c)).collect();
        let ids = Tensor::<B, 2, Int>::from_data(TensorData::new(ids, [n, 1]), &log_p.device());
        log_p.gather(1, ids).mean().neg()
    }

    /// The logits of `cells` cells, `[cells, CELL_CLASSES]`.
    fn logits(&self, visual: Tensor<B, 2>, cells: usize) -> Tensor<B, 2> {
        // The aligner works at the scale of token embeddings (about 0.02); the head reads at unit scale.
        let scale = visual.clone().square().mean_dim(1).add_scalar(1e-8).sqrt();
        let logits = (visual / scale).matmul(self.weight.val().transpose());
        logits.reshape([cells, CELL_CLASSES])
    }
}

/// [`CellHead::loss`] for training, by the gradient in closed form: the sum over cells in nats, and a surrogate of `weight` times
/// that sum.
pub fn cell_loss<B: AutodiffBackend>(
    head: &CellHead<B>,
    visual: Tensor<B, 2>,
    classes: &[u8],
    weight: f64,
) -> (f64, Tensor<B, 1>)
where
    B::InnerBackend: Fused,
{
    let logits = head.logits(visual, classes.len());
    let answers = Answers {
        rows: (0..classes.len()).collect(),
        classes: classes.iter().map(|&c| usize::from(c)).collect(),
        weights: vec![weight as f32; classes.len()],
    };
    let (nll, gradient) = cross_entropy(logits.clone().inner(), &answers);
    let surrogate = (logits * Tensor::from_inner(gradient)).sum();
    (nll.into_iter().map(f64::from).sum(), surrogate)
}

/// What a cosine of 1 counts in the logits of [`direction_loss`]: a visual token that is the sum of five embeddings has
/// a cosine of about 0.45 with each, one that it does not hold about `1/√d`.
const SHARPNESS: f64 = 24.0;
/// Weight of a visual token's length in [`direction_loss`].
const LENGTH_WEIGHT: f64 = 0.05;

/// As [`token_loss`], by cosines instead of dot products, plus a small penalty on visual tokens that are longer or
/// shorter than a typical row of the embedding (the square of the logarithm of the ratio of squared lengths, a mean over
/// `slots` visual tokens).
///
/// A visual token that is many times longer than a text token drowns what the decoder's blocks add to it, and then
/// cannot predict the token after a fold; dot products reward length, angles do not.
pub fn direction_loss<B: AutodiffBackend>(
    visual: Tensor<B, 2>,
    embedding: Tensor<B, 2>,
    tokens: &[Vec<u32>],
    [named, slots]: [f64; 2],
    dtype: FloatDType,
) -> (f64, Tensor<B, 1>)
where
    B::InnerBackend: Fused,
{
    let d = visual.dims()[1] as f64;
    let embedding = embedding.detach();
    let squares = embedding.clone().square().mean_dim(1).add_scalar(1e-12);
    let typical = squares.clone().mean();
    let unit = embedding / squares.sqrt();
    let visual_squares = visual.clone().square().mean_dim(1).add_scalar(1e-12);
    let scaled = (visual / visual_squares.clone().sqrt()).mul_scalar(SHARPNESS / d);
    let (value, surrogate) = token_loss(scaled, unit, tokens, named, dtype);
    let ratio = (visual_squares / typical.unsqueeze()).log();
    let penalty = ratio.square().sum().mul_scalar(LENGTH_WEIGHT / slots);
    (value, surrogate + penalty)
}

/// Cross-entropy of the tokens that stand in each patch, read off its visual token by the (detached) token
/// embedding: it puts visual tokens into the space that the decoder already reads. Gives value and surrogate, as a mean
/// over `named` patches: those of the whole batch that have tokens. Products are computed in `dtype`.
pub fn token_loss<B: AutodiffBackend>(
    visual: Tensor<B, 2>,
    embedding: Tensor<B, 2>,
    tokens: &[Vec<u32>],
    named: f64,
    dtype: FloatDType,
) -> (f64, Tensor<B, 1>)
where
    B::InnerBackend: Fused,
{
    let mut answers = Answers::default();
    for (row, ids) in tokens.iter().enumerate() {
        for &id in ids {
            answers.rows.push(row);
            answers.classes.push(id as usize);
            answers.weights.push((1.0 / (named * ids.len() as f64)) as f32);
        }
    }
    let ce = linear_ce(visual, embedding, &answers, true, dtype);
    (ce.value, ce.surrogate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    type B = Autodiff<Flex>;
    const D: usize = 32;

    /// An embedding of 40 rows with RMS 0.02, and numbers to make visual tokens of.
    fn numbers(n: usize, seed: u64, rms: f64) -> Vec<f32> {
        let mut rng = crate::data::Rng::new(&[seed]);
        (0..n)
            .map(|_| ((rng.unit() - 0.5) * 12f64.sqrt() * rms) as f32)
            .collect()
    }

    fn rows(values: &[f32]) -> Tensor<B, 2> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len() / D, D]),
            &Default::default(),
        )
    }

    fn value(visual: &[f32]) -> f64 {
        let tokens = [vec![3, 7, 11], vec![20], vec![]];
        direction_loss(
            rows(visual),
            rows(&numbers(40 * D, 1, 0.02)),
            &tokens,
            [2.0, 3.0],
            FloatDType::F32,
        )
        .0
    }

    #[test]
    fn a_sum_of_embeddings_names_its_tokens_at_any_length() {
        let embedding = numbers(40 * D, 1, 0.02);
        let mut visual = numbers(3 * D, 2, 0.02);
        let guess = value(&visual);
        for i in 0..D {
            visual[i] = [3, 7, 11].iter().map(|t| embedding[t * D + i]).sum();
            visual[D + i] = embedding[20 * D + i];
        }
        let named = value(&visual);
        // Three tokens share the first row: ln 3 is the least it can have, and half of that the mean's.
        assert!(named > 0.5 * 3f64.ln() && named < 1.0 && guess > 2.5, "{named} {guess}");
        let longer: Vec<f32> = visual.iter().map(|x| x * 50.0).collect();
        assert!((value(&longer) - named).abs() < 1e-4);
    }

    #[test]
    fn the_length_is_drawn_to_that_of_an_embedding() {
        // Along the visual token itself, only the length's penalty has a slope.
        let slope = |factor: f32| {
            let visual: Vec<f32> = numbers(3 * D, 2, 0.02).iter().map(|x| x * factor).collect();
            let visual = rows(&visual).require_grad();
            let tokens = [vec![3, 7, 11], vec![20], vec![5]];
            let (_, surrogate) = direction_loss(
                visual.clone(),
                rows(&numbers(40 * D, 1, 0.02)),
                &tokens,
                [3.0, 3.0],
                FloatDType::F32,
            );
            let grad = visual.grad(&surrogate.backward()).unwrap();
            let along = (grad * visual.inner()).sum().into_data().convert::<f64>();
            along.as_slice::<f64>().unwrap()[0]
        };
        assert!(slope(10.0) > 0.1, "too long: {}", slope(10.0));
        assert!(slope(0.1) < -0.1, "too short: {}", slope(0.1));
        assert!(slope(1.0).abs() < 0.1, "as long: {}", slope(1.0));
    }

    #[test]
    fn naming_cells_has_the_gradient_of_its_loss() {
        let head = |requires: bool| CellHead::<B> {
            weight: Param::from_tensor(rows(&numbers(2 * CELL_CLASSES * D, 4, 0.5)).set_require_grad(requires)),
        };
        let classes: Vec<u8> = vec![3, 97, 0, 5, 3, 41];
        let slopes = |surrogate: Tensor<B, 1>, visual: &Tensor<B, 2>, head: &CellHead<B>| {
            let grads = surrogate.backward();
            let of = |t: Tensor<Flex, 2>| t.into_data().into_vec::<f32>().unwrap();
            [
                of(visual.grad(&grads).unwrap()),
                of(head.weight.val().grad(&grads).unwrap()),
            ]
        };
        let (one, two) = (head(true), head(true));
        let (a, b) = (
            rows(&numbers(3 * D, 2, 0.02)).require_grad(),
            rows(&numbers(3 * D, 2, 0.02)).require_grad(),
        );
        let loss = one.loss(a.clone(), &classes);
        let mean = loss.clone().into_data().as_slice::<f32>().unwrap()[0];
        let (sum, surrogate) = cell_loss(&two, b.clone(), &classes, 1.0 / 6.0);
        assert!((f64::from(mean) - sum / 6.0).abs() < 1e-5, "{mean} {sum}");
        let (want, got) = (slopes(loss, &a, &one), slopes(surrogate, &b, &two));
        for (want, got) in want.iter().flatten().zip(got.iter().flatten()) {
            assert!((want - got).abs() < 1e-5 + 1e-4 * want.abs(), "{want} {got}");
        }
    }

    #[test]
    fn its_slope_is_that_of_its_value() {
        let tokens = [vec![3, 7, 11], vec![20], vec![5]];
        let (visual, embedding) = (numbers(3 * D, 2, 0.02), rows(&numbers(40 * D, 1, 0.02)));
        // The value is without the penalty: compare along a direction that keeps the rows' lengths.
        let leaf = rows(&visual).require_grad();
        let (_, surrogate) = direction_loss(leaf.clone(), embedding.clone(), &tokens, [3.0, 3.0], FloatDType::F32);
        let grad = leaf.grad(&surrogate.backward()).unwrap().into_data().convert::<f32>();
        let grad = grad.as_slice::<f32>().unwrap();
        let mut along = numbers(3 * D, 9, 1.0);
        for row in 0..3 {
            let at = row * D..(row + 1) * D;
            let dot: f32 = at.clone().map(|i| along[i] * visual[i]).sum();
            let square: f32 = at.clone().map(|i| visual[i] * visual[i]).sum();
            at.for_each(|i| along[i] -= visual[i] * dot / square);
        }
        let expected: f64 = grad.iter().zip(&along).map(|(g, a)| f64::from(g * a)).sum();
        let moved = |by: f32| {
            let v: Vec<f32> = visual.iter().zip(&along).map(|(v, a)| v + by * a).collect();
            direction_loss(rows(&v), embedding.clone(), &tokens, [3.0, 3.0], FloatDType::F32).0
        };
        let found = (moved(1e-4) - moved(-1e-4)) / 2e-4;
        assert!(
            (found - expected).abs() < 0.02 * expected.abs() + 0.05,
            "{found} {expected}"
        );
    }
}
