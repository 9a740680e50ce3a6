//! A linear layer as one node: its gradients come out in row-major order, and nothing is transposed on the way.

use super::super::cpu;
use super::super::flex::{dims, tensor, values};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_flex::{Flex, FlexTensor};

/// What the numbers of a weight in row-major order give to `f`.
fn source<R>(weight: &FlexTensor, f: impl FnOnce(cpu::Source<'_>) -> R) -> R {
    let weight = weight.to_contiguous();
    match weight.dtype() {
        DType::BF16 => f(cpu::Source::Bf16(weight.storage())),
        _ => f(cpu::Source::F32(weight.storage())),
    }
}

/// See [`super::Fused::linear`]; the weight f32 or bfloat16, all else f32.
pub(super) fn linear<C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
    weight: FloatTensor<Autodiff<Flex, C>>,
    bias: Option<FloatTensor<Autodiff<Flex, C>>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let sizes = [dims(&x.primitive)[0], dims(&x.primitive)[1], dims(&weight.primitive)[0]];
    let of = |bias: Option<&[f32]>| {
        values(&x.primitive, |x| {
            source(&weight.primitive, |w| cpu::linear(x, w, bias, sizes))
        })
    };
    let y = match &bias {
        Some(bias) => values(&bias.primitive, |b| of(Some(b))),
        None => of(None),
    };
    let y = tensor(y, [sizes[0], sizes[2]]);
    let state = (x.primitive, weight.primitive);
    match bias {
        Some(bias) => match Linear
            .prepare::<C>([x.node, weight.node, bias.node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        },
        None => match Linear.prepare::<C>([x.node, weight.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        },
    }
}

/// Of 2 parents, or of 3 with a bias.
#[derive(Debug)]
struct Linear;

impl<const N: usize> Backward<Flex, N> for Linear {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (x, weight) = ops.state;
        let sizes = [dims(&x)[0], dims(&x)[1], dims(&weight)[0]];
        let mut parents = ops.parents.into_iter();
        values(&dy, |dy| {
            if let Some(node) = parents.next().flatten() {
                let dx = source(&weight, |w| cpu::linear_backward_x(dy, w, sizes));
                grads.register::<Flex>(node.id, tensor(dx, dims(&x)));
            }
            if let Some(node) = parents.next().flatten() {
                // f32 for a rounded weight as well: what rounds it takes the gradient of the unrounded one.
                let rounded = weight.dtype() == DType::BF16;
                let dw = values(&x, |x| cpu::linear_backward_w(dy, x, sizes, rounded));
                grads.register::<Flex>(node.id, tensor(dw, dims(&weight)));
            }
            if let Some(node) = parents.next().flatten() {
                let db = cpu::column_sums(dy, sizes[2]);
                grads.register::<Flex>(node.id, tensor(db, [sizes[2]]));
            }
        });
    }
}
