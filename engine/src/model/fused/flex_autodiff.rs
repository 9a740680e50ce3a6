//! The fused operations under autodiff on the CPU backend: each one node of the graph.

mod linear;

use super::flex::{attention, dims, layer_norm, page_attention, tensor, values};
use super::{AttentionPlan, Fused, PageLengths, cpu, plain};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::ops::{FloatTensor, FloatTensorOps};
use burn::tensor::{DType, FloatDType};
use burn_flex::{Flex, FlexTensor};
use std::sync::Arc;

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    const PACKED_ATTENTION: bool = true;

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Option<FloatTensor<Self>>) -> FloatTensor<Self> {
        if !matches!(weight.primitive.dtype(), DType::F32 | DType::BF16) {
            return plain::linear::<Self>(x, weight, bias);
        }
        linear::linear::<C>(x, weight, bias)
    }

    fn in_bf16(t: FloatTensor<Self>) -> FloatTensor<Self> {
        let rounded = Flex::in_bf16(t.primitive);
        match InBf16.prepare::<C>([t.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((), rounded),
            OpsKind::UnTracked(prep) => prep.finish(rounded),
        }
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let shape = dims(&x.primitive);
        let (y, moments) = layer_norm(&x.primitive, &weight.primitive, &bias.primitive, eps);
        let y = tensor(y, shape);
        let nodes = [x.node, weight.node, bias.node];
        match LayerNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, weight.primitive, Arc::new(moments)), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn page_attention(
        qkv: [FloatTensor<Self>; 3],
        heads: usize,
        lengths: &Arc<PageLengths>,
        _dtype: FloatDType,
    ) -> FloatTensor<Self> {
        let nodes = [0, 1, 2].map(|i| qkv[i].node.clone());
        // What `qkv` holds stays until the graph knows of the result: see `cat`.
        let kept = qkv.each_ref().map(|t| t.primitive.clone());
        let (y, weights) = page_attention(&kept, heads, lengths);
        match PageAttention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((kept, Arc::new(weights), heads, lengths.clone()), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let shape = dims(&x.primitive);
        let (y, inverse) = values(&x.primitive, |x| {
            values(&weight.primitive, |w| cpu::rms_norm(x, w, eps as f32))
        });
        let y = tensor(y, shape);
        match RmsNorm.prepare::<C>([x.node, weight.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, weight.primitive, Arc::new(inverse)), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let y = Flex::swiglu(gate.primitive.clone(), up.primitive.clone());
        match Swiglu.prepare::<C>([gate.node, up.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gate.primitive, up.primitive), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let y = Flex::gelu_tanh(x.primitive.clone());
        match GeluTanh.prepare::<C>([x.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.primitive, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        // The angles are data: nothing flows back to them.
        let y = Flex::rotate(x.primitive, cos.primitive.clone(), sin.primitive.clone());
        match Rotate.prepare::<C>([x.node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos.primitive, sin.primitive), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn packed_attention(
        q: &FloatTensor<Self>,
        k: &FloatTensor<Self>,
        v: &FloatTensor<Self>,
        plan: &Arc<AttentionPlan>,
        dtype: FloatDType,
    ) -> Option<FloatTensor<Self>> {
        let (y, weights) = attention(&q.primitive, &k.primitive, &v.primitive, plan, dtype);
        let nodes = [q.node.clone(), k.node.clone(), v.node.clone()];
        Some(match Attention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let qkv = [q.primitive.clone(), k.primitive.clone(), v.primitive.clone()];
                prep.finish((qkv, Arc::new(weights), plan.clone(), dtype), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        })
    }
}

#[derive(Debug)]
struct InBf16;

impl Backward<Flex, 1> for InBf16 {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        // The slope of rounding is taken as 1.
        let dy = grads.consume::<Flex>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, Flex::float_cast(dy, FloatDType::F32));
        }
    }
}

#[derive(Debug)]
struct RmsNorm;

impl Backward<Flex, 2> for RmsNorm {
    type State = (FlexTensor, FlexTensor, Arc<Vec<f32>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (x, weight, inverse) = ops.state;
        let (dx, dw) = values(&x, |x| {
            values(&weight, |w| {
                values(&dy, |dy| cpu::rms_norm_backward(x, w, &inverse, dy))
            })
        });
        let [x_node, w_node] = ops.parents;
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, tensor(dx, dims(&x)));
        }
        if let Some(node) = w_node {
            grads.register::<Flex>(node.id, tensor(dw, dims(&weight)));
        }
    }
}

#[derive(Debug)]
struct LayerNorm;

impl Backward<Flex, 3> for LayerNorm {
    type State = (FlexTensor, FlexTensor, Arc<Vec<[f32; 2]>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (x, weight, moments) = ops.state;
        let gradients = values(&x, |x| {
            values(&weight, |w| {
                values(&dy, |dy| cpu::layer_norm_backward(x, w, &moments, dy))
            })
        });
        let shapes = [dims(&x), dims(&weight), dims(&weight)];
        for ((node, gradient), shape) in ops.parents.into_iter().zip(gradients).zip(shapes) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, shape));
            }
        }
    }
}

#[derive(Debug)]
struct Swiglu;

impl Backward<Flex, 2> for Swiglu {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (gate, up) = ops.state;
        let (dg, du) = values(&gate, |g| {
            values(&up, |u| values(&dy, |dy| cpu::swiglu_backward(g, u, dy)))
        });
        for (node, gradient) in ops.parents.into_iter().zip([dg, du]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, dims(&gate)));
            }
        }
    }
}

#[derive(Debug)]
struct GeluTanh;

impl Backward<Flex, 1> for GeluTanh {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let x = ops.state;
        if let [Some(node)] = ops.parents {
            let dx = values(&x, |x| values(&dy, |dy| cpu::gelu_tanh_backward(x, dy)));
            grads.register::<Flex>(node.id, tensor(dx, dims(&x)));
        }
    }
}

#[derive(Debug)]
struct Rotate;

impl Backward<Flex, 1> for Rotate {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (cos, sin) = ops.state;
        if let [Some(node)] = ops.parents {
            let shape = dims(&dy);
            let dx = values(&dy, |dy| {
                values(&cos, |c| {
                    values(&sin, |s| cpu::rotate(dy, c, s, [shape[1], shape[2] / 2], -1.0))
                })
            });
            grads.register::<Flex>(node.id, tensor(dx, shape));
        }
    }
}

#[derive(Debug)]
struct Attention;

impl Backward<Flex, 3> for Attention {
    type State = ([FlexTensor; 3], Arc<Vec<f32>>, Arc<AttentionPlan>, FloatDType);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let ([q, k, v], weights, plan, dtype) = ops.state;
        let rounded = dtype == FloatDType::BF16;
        let (shape, kv) = (dims(&q), dims(&k));
        let heads = cpu::Heads {
            query: shape[1],
            key: kv[1],
            dim: shape[2],
        };
        let gradients = values(&q, |q| {
            values(&k, |k| {
                values(&v, |v| {
                    values(&dy, |dy| {
                        cpu::attention_backward([q, k, v], &weights, dy, heads, &plan, rounded)
                    })
                })
            })
        });
        for ((node, gradient), shape) in ops.parents.into_iter().zip(gradients).zip([shape, kv.clone(), kv]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, shape));
            }
        }
    }
}

#[derive(Debug)]
struct PageAttention;

impl Backward<Flex, 3> for PageAttention {
    type State = ([FlexTensor; 3], Arc<Vec<f32>>, usize, Arc<PageLengths>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let ([q, k, v], weights, heads, lengths) = ops.state;
        let shape = dims(&q);
        let split = [heads, shape[1] / heads];
        let gradients = values(&q, |q| {
            values(&k, |k| {
                values(&v, |v| {
                    values(&dy, |dy| {
                        cpu::page_attention_backward([q, k, v], &weights, dy, split, &lengths)
                    })
                })
            })
        });
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(gradient, shape.clone()));
            }
        }
    }
}
