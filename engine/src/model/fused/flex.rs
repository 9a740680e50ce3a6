//! The fused operations on the CPU backend.

use super::cpu::Stored;
#[cfg(feature = "train")]
use super::{AdamW, Answers};
use super::{AttentionPlan, Fused, PageLengths, Seen, cpu, plain};
use crate::checkpoint::StoredType;
use burn::tensor::ops::{FloatTensor, FloatTensorOps, IntTensor};
use burn::tensor::{DType, Element, FloatDType, Shape, TensorData};
use burn_flex::{Flex, FlexTensor};
use half::f16;
use std::sync::Arc;

/// The values of `t` in row-major order.
pub(super) fn values<R>(t: &FlexTensor, f: impl FnOnce(&[f32]) -> R) -> R {
    let t = t.to_contiguous();
    f(t.as_slice::<f32>().expect("a contiguous f32 tensor is a slice"))
}

/// `weight`, `[out, in]`, if it is held as a file stores it: 16-bit floats, or bytes of blocks.
fn stored(weight: &FlexTensor, inputs: usize) -> Option<Stored<'_>> {
    let kind = match weight.dtype() {
        DType::F16 => StoredType::F16,
        DType::BF16 => StoredType::BF16,
        DType::U8 => Stored::blocks(dims(weight)[1], inputs)?,
        _ => return None,
    };
    let bytes = weight.bytes();
    Some(Stored { kind, bytes, inputs })
}

/// A tensor of `values`.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// `t` in row-major order and a buffer of its own length; no copy if it is that already.
fn whole(t: FlexTensor) -> FlexTensor {
    t.to_contiguous()
}

/// Dimensions of `t`.
pub(super) fn dims(t: &FlexTensor) -> Vec<usize> {
    t.layout().shape().to_vec()
}

/// Numbers of 32 or 16 bits.
fn numbers(t: &FlexTensor) -> cpu::Numbers<'_> {
    match t.dtype() {
        DType::F16 => cpu::Numbers::F16(t.storage()),
        _ => cpu::Numbers::F32(t.storage()),
    }
}

/// `rows`, `[heads, n, width]`, into `buffer`, `[heads, capacity, width]`, from row `at` on; both of one type.
fn write<E: Element + bytemuck::Pod>(buffer: &mut FlexTensor, rows: &FlexTensor, at: usize, capacity: usize) {
    let shape = dims(rows);
    let (rows, out) = (rows.storage::<E>(), buffer.storage_mut::<E>());
    for (head, rows) in rows.chunks_exact((shape[1] * shape[2]).max(1)).enumerate() {
        let at = (head * capacity + at) * shape[2];
        out[at..at + rows.len()].copy_from_slice(rows);
    }
}

impl Fused for Flex {
    const PACKED_ATTENTION: bool = true;

    fn takes_stored(kind: StoredType) -> bool {
        Stored::takes(kind)
    }

    fn blocks(bytes: Vec<u8>, shape: [usize; 2], _device: &Self::Device) -> FloatTensor<Self> {
        FlexTensor::from_data(TensorData::new(bytes, shape))
    }

    fn linears<const N: usize>(
        x: FloatTensor<Self>,
        layers: [(FloatTensor<Self>, Option<FloatTensor<Self>>); N],
    ) -> [FloatTensor<Self>; N] {
        let shape = dims(&x);
        if x.dtype() == DType::F32 && layers.iter().all(|(weight, _)| stored(weight, shape[1]).is_some()) {
            let layers = layers.map(|(weight, bias)| (whole(weight), bias));
            let weights = layers
                .each_ref()
                .map(|(weight, _)| stored(weight, shape[1]).expect("as above"));
            let ys = values(&x, |x| cpu::linear_stored(weights, x));
            let mut biases = layers.iter().map(|(_, bias)| bias);
            return ys.map(|mut y| {
                let outputs = y.len() / shape[0];
                if let Some(Some(bias)) = biases.next() {
                    values(bias, |bias| {
                        for row in y.chunks_exact_mut(outputs) {
                            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                        }
                    });
                }
                tensor(y, [shape[0], outputs])
            });
        }
        layers.map(|(weight, bias)| <Self as Fused>::linear(x.clone(), weight, bias))
    }

    fn table_rows(table: FloatTensor<Self>, ids: IntTensor<Self>, width: usize) -> FloatTensor<Self> {
        if table.dtype() != DType::U8 {
            return Self::float_select(table, 0, ids);
        }
        let (table, ids) = (whole(table), ids.into_data());
        let table = stored(&table, width).expect("rows of blocks");
        let n = ids.num_elements();
        tensor(
            cpu::stored_rows(table, ids.iter::<i64>().map(|id| id as usize)),
            [n, width],
        )
    }

    fn on_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        rayon::scope(|_| f())
    }

    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Option<FloatTensor<Self>>) -> FloatTensor<Self> {
        let (rows, outputs) = (dims(&x)[0], dims(&weight)[0]);
        if x.dtype() == DType::F32 && stored(&weight, dims(&x)[1]).is_some() {
            let [y] = Self::linears(x, [(weight, bias)]);
            return y;
        }
        if rows == 1 && bias.is_none() && weight.dtype() == DType::F32 {
            // One token: reading the weights is all the work, and burn-flex reads small ones on one core only.
            let y = values(&x, |x| values(&weight, |w| cpu::mat_vec(w, x)));
            return tensor(y, [1, outputs]);
        }
        plain::linear::<Self>(x, weight, bias)
    }

    #[cfg(feature = "train")]
    fn in_bf16(t: FloatTensor<Self>) -> FloatTensor<Self> {
        if t.dtype() != DType::F32 {
            return Self::float_cast(t, FloatDType::BF16);
        }
        FlexTensor::from_data(TensorData::new(values(&t, cpu::in_bf16), Shape::from(dims(&t))))
    }

    #[cfg(feature = "train")]
    fn matmul_in(a: FloatTensor<Self>, b: FloatTensor<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        if dtype != FloatDType::BF16 || a.dtype() != DType::F32 || b.dtype() != DType::F32 {
            return plain::matmul_in::<Self>(a, b, dtype);
        }
        let (a, b) = (strided(a), strided(b));
        let sizes = [dims(&a.0)[0], dims(&b.0)[1], dims(&a.0)[1]];
        let y = cpu::product_in_bf16(sizes, (a.0.storage(), a.1), (b.0.storage(), b.1));
        tensor(y, [sizes[0], sizes[1]])
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let (y, _) = layer_norm(&x, &weight, &bias, eps);
        tensor(y, dims(&x))
    }

    fn page_attention(
        qkv: [FloatTensor<Self>; 3],
        heads: usize,
        lengths: &Arc<PageLengths>,
        _dtype: FloatDType,
    ) -> FloatTensor<Self> {
        page_attention(&qkv, heads, lengths).0
    }

    #[cfg(feature = "train")]
    fn cross_entropy(logits: FloatTensor<Self>, answers: &Answers) -> (Vec<f32>, FloatTensor<Self>) {
        let mut logits = whole(logits);
        let classes = dims(&logits)[1];
        let nll = cpu::cross_entropy(logits.storage_mut::<f32>(), classes, answers);
        (nll, logits)
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let y = values(&x, |x| values(&weight, |w| cpu::rms_norm(x, w, eps as f32)));
        tensor(y.0, dims(&x))
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor(values(&gate, |g| values(&up, |u| cpu::swiglu(g, u))), dims(&gate))
    }

    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor(values(&x, cpu::gelu_tanh), dims(&x))
    }

    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = dims(&x);
        let y = values(&x, |x| {
            values(&cos, |c| {
                values(&sin, |s| cpu::rotate(x, c, s, [shape[1], shape[2] / 2], 1.0))
            })
        });
        tensor(y, shape)
    }

    fn packed_attention(
        q: &FloatTensor<Self>,
        k: &FloatTensor<Self>,
        v: &FloatTensor<Self>,
        plan: &Arc<AttentionPlan>,
        dtype: FloatDType,
    ) -> Option<FloatTensor<Self>> {
        Some(attention(q, k, v, plan, dtype).0)
    }

    fn attend(q: FloatTensor<Self>, buffers: Vec<Seen<Self>>) -> FloatTensor<Self> {
        let shape = dims(&q);
        tensor(attend_by(cpu::flash, &q, buffers), shape)
    }

    fn attend_watched(q: FloatTensor<Self>, buffers: Vec<Seen<Self>>) -> (FloatTensor<Self>, Vec<f32>) {
        let shape = dims(&q);
        let (out, shares) = attend_by(cpu::flash_watched, &q, buffers);
        (tensor(out, shape), shares)
    }

    #[cfg(feature = "train")]
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        step: &AdamW,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 2]) {
        let (mut parameter, [mut first, mut second]) = (whole(parameter), moments.map(whole));
        values(&gradient, |gradient| {
            let moments = [first.storage_mut::<f32>(), second.storage_mut::<f32>()];
            cpu::adamw(parameter.storage_mut::<f32>(), gradient, moments, step);
        });
        (parameter, [first, second])
    }

    #[cfg(feature = "train")]
    fn squares(tensors: &[FloatTensor<Self>]) -> Vec<f64> {
        tensors.iter().map(|t| values(t, cpu::squares)).collect()
    }

    #[cfg(feature = "train")]
    fn sum(terms: Vec<FloatTensor<Self>>) -> Option<FloatTensor<Self>> {
        let mut terms = terms.into_iter();
        let mut sum = whole(terms.next()?);
        for term in terms {
            values(&term, |term| cpu::add(sum.storage_mut::<f32>(), term));
        }
        Some(sum)
    }

    fn write_rows(buffer: FloatTensor<Self>, rows: FloatTensor<Self>, at: usize) -> FloatTensor<Self> {
        // burn-flex's own `slice_assign` copies the buffer even when it is the only holder.
        let mut buffer = whole(buffer);
        let capacity = dims(&buffer)[1];
        let rows = whole(rows);
        match buffer.dtype() {
            DType::F16 => write::<f16>(&mut buffer, &rows, at, capacity),
            _ => write::<f32>(&mut buffer, &rows, at, capacity),
        }
        buffer
    }
}

/// A matrix with its view, one of whose strides is 1; no copy if it is like that already, as a transpose is.
#[cfg(feature = "train")]
fn strided(t: FlexTensor) -> (FlexTensor, cpu::View) {
    let view = |t: &FlexTensor| {
        let (strides, at) = (t.layout().strides(), t.layout().start_offset());
        match *strides {
            [row, 1] if row > 0 => Some(cpu::View::rows(at, row as usize)),
            [1, column] if column > 0 => Some(cpu::View::rows(at, column as usize).t()),
            _ => None,
        }
    };
    if let Some(view) = view(&t) {
        return (t, view);
    }
    let t = whole(t);
    let columns = dims(&t)[1];
    (t, cpu::View::rows(0, columns))
}

/// Runs a kernel of attention over KV buffers.
fn attend_by<R>(
    kernel: impl FnOnce(&[f32], &[cpu::Buffer], cpu::Heads) -> R,
    q: &FlexTensor,
    buffers: Vec<Seen<Flex>>,
) -> R {
    let shape = dims(q);
    let mut heads = cpu::Heads {
        query: shape[1],
        key: 0,
        dim: shape[2],
    };
    // Buffers are whole tensors, so this copies nothing.
    let buffers: Vec<_> = buffers
        .into_iter()
        .map(|b| (b.k.to_contiguous(), b.v.to_contiguous(), b.seen))
        .collect();
    let views: Vec<cpu::Buffer> = buffers
        .iter()
        .map(|(k, v, seen)| {
            heads.key = dims(k)[0];
            cpu::Buffer {
                k: numbers(k),
                v: numbers(v),
                capacity: dims(k)[1],
                seen: *seen,
            }
        })
        .collect();
    values(q, |q| kernel(q, &views, heads))
}

/// Normalised rows and, for the gradient, their moments.
pub(super) fn layer_norm(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    eps: f64,
) -> (Vec<f32>, Vec<[f32; 2]>) {
    values(x, |x| {
        values(weight, |w| values(bias, |b| cpu::layer_norm(x, w, b, eps as f32)))
    })
}

/// Attention inside pages and, for the gradient, the softmax weights.
pub(super) fn page_attention(
    [q, k, v]: &[FlexTensor; 3],
    heads: usize,
    lengths: &PageLengths,
) -> (FlexTensor, Vec<f32>) {
    let shape = dims(q);
    let split = [heads, shape[1] / heads];
    let (out, weights) = values(q, |q| {
        values(k, |k| values(v, |v| cpu::page_attention([q, k, v], split, lengths)))
    });
    (tensor(out, shape), weights)
}

/// Attention outputs and, for the gradient, the softmax weights.
pub(super) fn attention(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    plan: &AttentionPlan,
    dtype: FloatDType,
) -> (FlexTensor, Vec<f32>) {
    let (shape, kv) = (dims(q), dims(k));
    let heads = cpu::Heads {
        query: shape[1],
        key: kv[1],
        dim: shape[2],
    };
    let (out, weights) = values(q, |q| {
        values(k, |k| {
            values(v, |v| cpu::attention(q, k, v, heads, plan, dtype == FloatDType::BF16))
        })
    });
    (tensor(out, shape), weights)
}
