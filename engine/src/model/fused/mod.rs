//! Operations that are written as one kernel where the backend allows it.
//!
//! A plain tensor graph spends more time on the passes between matrix products than on the products (measured: a
//! training step of `folio-nano` on `flex`, two cores, took five times its matmuls). [`Fused`] is a trait over
//! `Backend` whose default bodies are plain tensor operations; the CPU backend replaces them by the kernels in
//! [`cpu`], with their gradients; with feature `burn-wgpu`, burn's wgpu backend runs our WGSL for attention over the KV
//! and for folding; every other backend takes the defaults.

#[cfg(feature = "flex")]
mod cpu;
mod cross_entropy;
#[cfg(feature = "burn-cuda")]
mod cuda;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "train")]
mod flex_autodiff;
mod plain;
mod prefix;
mod rows;
#[cfg(all(test, feature = "flex"))]
mod tests;
mod update;
#[cfg(feature = "burn-wgpu")]
mod wgpu;

#[cfg(feature = "burn-cuda")]
pub use self::cuda::BurnCuda;
#[cfg(feature = "burn-wgpu")]
pub use self::wgpu::{BurnWgpu, BurnWgpuFusion, BurnWgpuPlain};
use super::cat::cat;
use crate::checkpoint::StoredType;
use crate::context::Span;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{FloatDType, Tensor, TensorPrimitive, activation, backend::Backend};
use std::sync::Arc;

pub use self::cross_entropy::Answers;
pub use self::prefix::Prefix;
pub use self::update::AdamW;

/// Who sees whom in a packed batch, as ranges; see [`super::Packed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionPlan {
    /// Documents (D).
    pub documents: usize,
    /// Memory slots per document (M); slot `m` sees the slots up to itself, from `lower` on.
    pub memory: usize,
    /// Chunks of open text per document (n).
    pub chunks: usize,
    /// Tokens per chunk (K); token `j` sees its chunk up to itself.
    pub chunk_len: usize,
    /// Where the memory slots end that chunk `c` of document `d` sees: `[d · n + c]`.
    pub seen: Vec<usize>,
    /// The first slot that memory slot `m` of document `d` sees, `[d · M + m]`, at most `m`. Empty: all 0.
    pub lower: Vec<usize>,
    /// The first slot that chunk `c` of document `d` sees: `[d · n + c]`. Empty: all 0.
    pub open_lower: Vec<usize>,
    /// With `visual_sees_text`: the rows of open text that memory slot `m` of document `d` sees besides, `[d · M + m]`,
    /// counted from the document's first row of open text. Empty: none.
    pub texts: Vec<std::ops::Range<usize>>,
}

impl AttentionPlan {
    /// The first slot that memory slot `slot` of `document` sees.
    pub fn lower(&self, document: usize, slot: usize) -> usize {
        self.lower.get(document * self.memory + slot).copied().unwrap_or(0)
    }

    /// The rows of open text that memory slot `slot` of `document` sees besides.
    pub fn text(&self, document: usize, slot: usize) -> std::ops::Range<usize> {
        self.texts.get(document * self.memory + slot).cloned().unwrap_or(0..0)
    }

    /// The memory slots that chunk `chunk` of `document` sees.
    pub fn seen(&self, document: usize, chunk: usize) -> std::ops::Range<usize> {
        let i = document * self.chunks + chunk;
        self.open_lower.get(i).copied().unwrap_or(0)..self.seen[i]
    }
}

/// A buffer of keys and values, each `[kv_heads, capacity, head_dim]`, and which of its rows are seen.
#[derive(Debug)]
pub struct Seen<B: Backend> {
    /// Keys.
    pub k: FloatTensor<B>,
    /// Values.
    pub v: FloatTensor<B>,
    /// The rows that each query sees.
    pub seen: Prefix,
}

/// Pages of a batch, padded to the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLengths {
    /// Slots of the longest page.
    pub slots: usize,
    /// Slots of every page that show ink, at least one.
    pub lengths: Vec<usize>,
}

impl PageLengths {
    /// Whether some page is shorter than the longest.
    pub fn padded(&self) -> bool {
        self.lengths.iter().any(|&n| n < self.slots)
    }
}

/// A backend with fused operations.
pub trait Fused: Backend {
    /// Whether [`Self::packed_attention`] gives something.
    const PACKED_ATTENTION: bool = false;

    /// Whether [`Self::linear`], [`Self::linears`] and [`Self::table_rows`] take weights of this type as they are stored,
    /// without another copy of them. Blocks are a tensor of bytes, `[out, bytes per row]`, as in a file.
    fn takes_stored(_kind: StoredType) -> bool {
        false
    }

    /// A matrix of blocks: see [`Self::takes_stored`].
    ///
    /// # Panics
    /// On a backend that takes none.
    fn blocks(_bytes: Vec<u8>, _shape: [usize; 2], _device: &Self::Device) -> FloatTensor<Self> {
        unreachable!("only where `takes_stored` says so")
    }

    /// `x Wᵀ + b`: `x`, `[n, in]`, by `weight`, `[out, in]`, to `[n, out]`; `bias`: `[out]`. The product is computed in the
    /// weight's type, what goes in and comes out is in that of `x`.
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Option<FloatTensor<Self>>) -> FloatTensor<Self> {
        plain::linear::<Self>(x, weight, bias)
    }

    /// Several [`Self::linear`] of one `x`.
    fn linears<const N: usize>(
        x: FloatTensor<Self>,
        layers: [(FloatTensor<Self>, Option<FloatTensor<Self>>); N],
    ) -> [FloatTensor<Self>; N] {
        layers.map(|(weight, bias)| <Self as Fused>::linear(x.clone(), weight, bias))
    }

    /// Rows `ids` of a table of rows of `width` numbers, `[ids, width]`, in the table's type (of blocks: as f32).
    fn table_rows(table: FloatTensor<Self>, ids: IntTensor<Self>, _width: usize) -> FloatTensor<Self> {
        Self::float_select(table, 0, ids)
    }

    /// Runs `f` where the backend's threads are, so that sharing work among them wakes one fewer.
    fn on_workers<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        f()
    }

    /// RMSNorm over rows: `x`, `[n, d]`, by `weight`, `[d]`.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let (x, weight) = (wrap::<Self, 2>(x), wrap::<Self, 1>(weight));
        let inverse = x.clone().square().mean_dim(1).add_scalar(eps).sqrt().recip();
        unwrap(x * inverse * weight.unsqueeze())
    }

    /// `t` rounded to bfloat16.
    fn in_bf16(t: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_cast(t, FloatDType::BF16)
    }

    /// `a b`, `[m, k]` and `[k, n]`, outside of any graph, computed in `dtype`; what goes in and comes out is in the type of `a`.
    fn matmul_in(a: FloatTensor<Self>, b: FloatTensor<Self>, dtype: FloatDType) -> FloatTensor<Self> {
        plain::matmul_in::<Self>(a, b, dtype)
    }

    /// LayerNorm over rows: `x`, `[n, d]`, by `weight` and `bias`, `[d]`.
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        plain::layer_norm::<Self>(x, weight, bias, eps)
    }

    /// Attention of the patches of every page to each other: `q`, `k` and `v`, `[pages × slots, heads × head_dim]`, to the
    /// same. What stands in the padding of shorter pages is not defined, but finite. Products are computed in `dtype`.
    fn page_attention(
        qkv: [FloatTensor<Self>; 3],
        heads: usize,
        lengths: &Arc<PageLengths>,
        dtype: FloatDType,
    ) -> FloatTensor<Self> {
        plain::page_attention::<Self>(qkv, heads, lengths, dtype)
    }

    /// Cross-entropy of `logits`, `[n, classes]`, outside of any graph: `−log p` of every answer, and the gradient of their
    /// weighted sum for the logits.
    fn cross_entropy(logits: FloatTensor<Self>, answers: &Answers) -> (Vec<f32>, FloatTensor<Self>) {
        cross_entropy::cross_entropy::<Self>(logits, answers)
    }

    /// `silu(gate) · up`, both `[n, d]`.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        unwrap(activation::silu(wrap::<Self, 2>(gate)) * wrap::<Self, 2>(up))
    }

    /// GELU by its tanh approximation, `[n, d]`.
    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = wrap::<Self, 2>(x);
        let cubed = x.clone().powi_scalar(3).mul_scalar(0.044715);
        let inner = (x.clone() + cubed).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
        unwrap((inner.tanh() + 1.0) * x.mul_scalar(0.5))
    }

    /// Rotates `x`, `[n, heads, head_dim]`, by `cos` and `sin`, `[n, 1, head_dim / 2]` (rotate-half).
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, cos, sin) = (wrap::<Self, 3>(x), wrap::<Self, 3>(cos), wrap::<Self, 3>(sin));
        let half = x.dims()[2] / 2;
        let (a, b) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
        unwrap(cat(
            vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin],
            2,
        ))
    }

    /// Attention over a packed batch: `q`, `[D·S, heads, head_dim]` (scaled), `k`, `v`, `[D·S, kv_heads, head_dim]`, to
    /// `[D·S, heads, head_dim]`. Products are computed in `dtype`, or in f32 (the CPU without AMX). `None`: this backend has no kernel for it.
    fn packed_attention(
        _q: &FloatTensor<Self>,
        _k: &FloatTensor<Self>,
        _v: &FloatTensor<Self>,
        _plan: &Arc<AttentionPlan>,
        _dtype: FloatDType,
    ) -> Option<FloatTensor<Self>> {
        None
    }

    /// Whether a runner keeps its KV in rows, for the two operations below; else memory and open chunk have buffers of
    /// their own, and [`Self::attend`] reads them.
    const KV_IN_ROWS: bool = false;

    /// Attention over KV rows: `q`, `[n, heads, head_dim]` (scaled), over `k` and `v`, `[rows, kv_heads × head_dim]`, to
    /// `[n, heads, head_dim]`. Query `i` sees the rows of `spans[i]`, at least one.
    fn attend_spans(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: &[Span],
    ) -> FloatTensor<Self> {
        rows::attend_spans::<Self>(q, k, v, spans)
    }

    /// Moves `n` rows of `k` and `v`, `[rows, width]`, from row `from` on to row `to` on, as folding a page does; the
    /// two places do not overlap.
    fn move_rows(
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        from: usize,
        to: usize,
        n: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        rows::move_rows::<Self>(k, v, from, to, n)
    }

    /// Attention of new elements over KV buffers: `q`, `[n, heads, head_dim]` (scaled), to `[n, heads, head_dim]`. Every
    /// query must see a row of some buffer; rows that nobody sees are not read.
    fn attend(q: FloatTensor<Self>, buffers: Vec<Seen<Self>>) -> FloatTensor<Self> {
        plain::attend::<Self>(q, buffers)
    }

    /// As [`Self::attend`]; also the softmax weights that every row of the first buffer was given, as far as rows are seen,
    /// summed over queries and heads.
    fn attend_watched(q: FloatTensor<Self>, buffers: Vec<Seen<Self>>) -> (FloatTensor<Self>, Vec<f32>) {
        plain::attend_watched::<Self>(q, buffers)
    }

    /// One step of AdamW: the parameter, its gradient and its two moments, all of one shape, to parameter and moments.
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        step: &AdamW,
    ) -> (FloatTensor<Self>, [FloatTensor<Self>; 2]) {
        update::adamw::<Self>(parameter, gradient, moments, step)
    }

    /// The sum of squares of every tensor.
    fn squares(tensors: &[FloatTensor<Self>]) -> Vec<f64> {
        update::squares::<Self>(tensors)
    }

    /// The sum of tensors of one shape, added in order; `None` of none.
    fn sum(terms: Vec<FloatTensor<Self>>) -> Option<FloatTensor<Self>> {
        update::sum::<Self>(terms)
    }

    /// `buffer`, `[heads, capacity, head_dim]`, with `rows`, `[heads, n, head_dim]`, from row `at` on. In place where the
    /// backend can, if nobody else holds the buffer.
    fn write_rows(buffer: FloatTensor<Self>, rows: FloatTensor<Self>, at: usize) -> FloatTensor<Self> {
        let (buffer, rows) = (wrap::<Self, 3>(buffer), wrap::<Self, 3>(rows));
        let [heads, n, head_dim] = rows.dims();
        unwrap(buffer.slice_assign([0..heads, at..at + n, 0..head_dim], rows))
    }
}

/// A primitive as a tensor.
pub(super) fn wrap<B: Backend, const D: usize>(t: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(t))
}

/// A tensor as a primitive.
pub(super) fn unwrap<B: Backend, const D: usize>(t: Tensor<B, D>) -> FloatTensor<B> {
    t.into_primitive().tensor()
}
