//! Activation checkpointing: a forward pass that keeps the inputs of its blocks alone, and the backward pass that computes the
//! rest again, one block at a time (Chen et al., "Training deep nets with sublinear memory cost", 1604.06174).
//!
//! It is made of plain forward and backward passes, so every backend has it: a block's gradients are those of `Σ y · dy`,
//! where `y` is the block's output and `dy` the gradient that came from behind it.

use super::attention::packed_attention;
use super::forward::Hidden;
use super::fused::Fused;
use super::packed::Packed;
use super::vist2::Vist2;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

/// A tensor without a graph.
type Inner<B> = Tensor<<B as AutodiffBackend>::InnerBackend, 2>;

/// Is given the gradients of every block when they are known.
pub type Gather<'a, B> = &'a mut dyn FnMut(&mut <B as AutodiffBackend>::Gradients);

/// What a forward pass has kept.
#[derive(Debug)]
pub struct Kept<B: AutodiffBackend> {
    /// Inputs of the encoder's blocks and, last, of its norm and the aligner. Empty without pages, and where no encoder reads
    /// them.
    encoder: Vec<Inner<B>>,
    /// Visual tokens.
    visual: Option<Inner<B>>,
    /// Inputs of the decoder's blocks and, last, of the final norm. Empty if the decoder did not run.
    decoder: Vec<Inner<B>>,
}

impl<B: AutodiffBackend + Fused> Vist2<B>
where
    B::InnerBackend: Fused,
{
    /// As [`Self::forward`] (with `decode`) or [`Self::encode_packed`], without a graph. `self` must ask for no gradients:
    /// [`Module::no_grad`](burn::module::Module::no_grad). What it gives is the start of a graph of its own.
    pub fn forward_keeping(&self, packed: &Packed<B>, decode: bool) -> (Hidden<B>, Kept<B>) {
        let mut encoder = Vec::new();
        let visual = match (&packed.patches, &self.vision_tower) {
            (Some(patches), Some(tower)) if self.reads_by_sight() => {
                let tower = &tower.vision_model;
                let mut x = tower.embed(patches.clone());
                for layer in &tower.encoder.layers {
                    encoder.push(x.clone().inner());
                    x = layer.forward(x, &packed.page_lengths);
                }
                encoder.push(x.clone().inner());
                Some(self.aligned(x))
            }
            _ => self.visual_of(packed),
        };
        let mut decoder = Vec::new();
        let mut rows = None;
        if decode {
            let mut x = self.embedded(packed, visual.clone());
            let rope = self.rope(packed);
            for layer in &self.language_model.model.layers {
                decoder.push(x.clone().inner());
                x = layer.forward(x, &rope, |qkv| packed_attention(qkv, packed));
            }
            decoder.push(x.clone().inner());
            rows = Some(leaf(self.language_model.model.norm.forward(x).inner()));
        }
        let visual = visual.map(Tensor::inner);
        let hidden = Hidden {
            rows: rows.unwrap_or_else(|| Tensor::zeros([0, self.config.text.hidden_size], packed.device())),
            visual: visual.clone().map(leaf),
        };
        (
            hidden,
            Kept {
                encoder,
                visual,
                decoder,
            },
        )
    }

    /// The backward pass of [`Self::forward_keeping`]: from the gradients of what it gave, those of the model's parameters,
    /// block by block from the end; a parameter that several blocks use has a gradient from each. `self` has the same weights and
    /// asks for gradients.
    pub fn backward_kept(
        &self,
        packed: &Packed<B>,
        kept: Kept<B>,
        d_rows: Option<Inner<B>>,
        d_visual: Option<Inner<B>>,
        gather: Gather<'_, B>,
    ) {
        let mut d_visual = d_visual;
        if let Some(d_rows) = d_rows {
            let d_seen = self.backward_decoder(packed, kept.decoder, kept.visual.clone(), d_rows, gather);
            d_visual = match (d_visual, d_seen) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            };
        }
        if let Some(d_visual) = d_visual {
            self.backward_encoder(packed, kept.encoder, d_visual, gather);
        }
    }

    /// Gives the gradient of the visual tokens.
    fn backward_decoder(
        &self,
        packed: &Packed<B>,
        mut inputs: Vec<Inner<B>>,
        visual: Option<Inner<B>>,
        d_rows: Inner<B>,
        gather: Gather<'_, B>,
    ) -> Option<Inner<B>> {
        let decoder = &self.language_model.model;
        let mut dx = pull(inputs.pop()?, d_rows, |x| decoder.norm.forward(x), gather)?;
        let rope = self.rope(packed);
        for (layer, x) in decoder.layers.iter().zip(inputs).rev() {
            let block = |x| layer.forward(x, &rope, |qkv| packed_attention(qkv, packed));
            dx = pull(x, dx, block, gather)?;
        }
        let visual = visual.map(leaf);
        let mut gradients = against(self.embedded(packed, visual.clone()), dx).backward();
        gather(&mut gradients);
        visual?.grad_remove(&mut gradients)
    }

    fn backward_encoder(
        &self,
        packed: &Packed<B>,
        mut inputs: Vec<Inner<B>>,
        d_visual: Inner<B>,
        gather: Gather<'_, B>,
    ) {
        let whole = match (inputs.pop(), &packed.patches, &self.vision_tower) {
            (Some(last), Some(patches), Some(tower)) => {
                let tower = &tower.vision_model;
                let Some(mut dx) = pull(last, d_visual, |x| self.aligned(x), gather) else {
                    return;
                };
                for (layer, x) in tower.encoder.layers.iter().zip(inputs).rev() {
                    match pull(x, dx, |x| layer.forward(x, &packed.page_lengths), gather) {
                        Some(before) => dx = before,
                        None => return,
                    }
                }
                against(tower.embed(patches.clone()), dx)
            }
            // Pages read otherwise: all of it is one block.
            _ => match self.visual_of(packed) {
                Some(visual) => against(visual, d_visual),
                None => return,
            },
        };
        gather(&mut whole.backward());
    }
}

/// A tensor that a graph begins with and that gathers a gradient.
fn leaf<B: AutodiffBackend>(x: Inner<B>) -> Tensor<B, 2> {
    Tensor::from_inner(x).require_grad()
}

/// What has `dy` as the gradient of `y`.
fn against<B: AutodiffBackend>(y: Tensor<B, 2>, dy: Inner<B>) -> Tensor<B, 1> {
    (y * Tensor::from_inner(dy)).sum()
}

/// The gradient of a block's input `x` from that of its output, `dy`; the gradients of its parameters go to `gather`.
fn pull<B: AutodiffBackend>(
    x: Inner<B>,
    dy: Inner<B>,
    block: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>,
    gather: Gather<'_, B>,
) -> Option<Inner<B>> {
    let x = leaf(x);
    let mut gradients = against(block(x.clone()), dy).backward();
    gather(&mut gradients);
    x.grad_remove(&mut gradients)
}
