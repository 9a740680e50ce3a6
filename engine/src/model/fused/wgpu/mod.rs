//! burn's wgpu backend: visual-token attention and folding run the WGSL of [`folio_shaders`].

#![allow(
    clippy::needless_update,
    reason = "whether a kernel's parameters end in padding is not the host's business"
)]

mod adapt;
mod launch;

use self::launch::{Launch, launch};
use super::{Fused, rows};
use crate::context::Span;
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::wgpu::{WgpuDevice, WgpuRuntime};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use folio_shaders::{Style, attention_merge, fold_chunk, visual_attention};

/// burn on wgpu, operation by operation, with our kernels for attention and folding.
pub type BurnWgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

/// The same without our kernels, to measure and test them against. Only the type tells it apart: the model has no truth values.
pub type BurnWgpuPlain = CubeBackend<WgpuRuntime, f32, i32, u8>;

/// burn on wgpu with burn's own fusion of neighbouring operations. Our kernels would break its chains: it takes the
/// default bodies.
pub type BurnWgpuFusion = burn_wgpu::Wgpu<f32, i32, u32>;

type Gpu = CubeTensor<WgpuRuntime>;

/// Queries up to which the rows they see are divided among workgroups: more queries fill a GPU by themselves.
const SPLIT_QUERIES: usize = 16;
/// Rows that one split should at least have: less is not worth a merge.
const SPLIT_ROWS: usize = 64;
const MAX_SPLITS: usize = 16;

impl Fused for BurnWgpuPlain {}

impl Fused for BurnWgpuFusion {}

/// Training takes the default bodies, which burn differentiates; attention over documents keeps text from text of other chunks
/// there, too.
impl<C: CheckpointStrategy> Fused for Autodiff<BurnWgpuFusion, C> {}

impl Fused for BurnWgpu {
    const KV_IN_ROWS: bool = true;

    fn attend_spans(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        spans: &[Span],
    ) -> FloatTensor<Self> {
        let shape: [usize; 3] = q.meta.shape().dims();
        if shape[2].is_multiple_of(4) && shape[2] <= longest_head() {
            attend(
                into_contiguous(q),
                &into_contiguous(k),
                &into_contiguous(v),
                shape,
                spans,
            )
        } else {
            rows::attend_spans::<Self>(q, k, v, spans)
        }
    }

    fn move_rows(
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        from: usize,
        to: usize,
        n: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let width = k.meta.shape()[1];
        if !width.is_multiple_of(4) {
            return rows::move_rows::<Self>(k, v, from, to, n);
        }
        let (k, v) = (owned(k), owned(v));
        let call = fold_chunk::call(
            fold_chunk::Params {
                rows: n as u32,
                from_row: from as u32,
                to_row: to as u32,
                stride4: (width / 4) as u32,
                ..Default::default()
            },
            fold_chunk::Bindings { k: &k, v: &v },
        );
        let groups = (n * width / 4).div_ceil(call.kernel.workgroup_size[0] as usize);
        launch(&k.client, Launch::plain(&call, [groups, 1, 1]));
        (k, v)
    }
}

/// Values of the longest head that every variant of the kernel takes.
fn longest_head() -> usize {
    let most = |style| visual_attention::kernel(style).constant("MAX_HEAD_DIM4");
    4 * most(Style::Serial).min(most(Style::Plain)) as usize
}

/// The tensor, writable: a copy if somebody else holds it too.
fn owned(tensor: Gpu) -> Gpu {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

fn empty(like: &Gpu, shape: Shape) -> Gpu {
    let handle = like.client.empty(4 * shape.num_elements());
    Gpu::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

fn attend(q: Gpu, k: &Gpu, v: &Gpu, [n, heads, head_dim]: [usize; 3], spans: &[Span]) -> Gpu {
    let width = k.meta.shape()[1];
    // CPUs that play a GPU do badly at barriers.
    let style = if q.device == WgpuDevice::Cpu {
        Style::Serial
    } else {
        Style::Plain
    };
    let seen = spans.iter().map(Span::len).max().unwrap_or(0);
    let splits = match n <= SPLIT_QUERIES {
        true => (seen / SPLIT_ROWS).clamp(1, MAX_SPLITS),
        false => 1,
    };
    let y = empty(&q, Shape::new([n, heads, head_dim]));
    let stats = empty(&q, Shape::new([n * heads * splits, 2]));
    let parts = if splits > 1 {
        empty(&q, Shape::new([n * heads * splits, head_dim]))
    } else {
        y.clone()
    };
    let kv_heads = width / head_dim;
    let table: Vec<[u32; 4]> = spans
        .iter()
        .map(|s| [s.first.0, s.first.1, s.second.0, s.second.1].map(|row| row as u32))
        .collect();
    // The spans travel with the parameters: `spans` is bound to nothing.
    let call = visual_attention::call(
        style,
        visual_attention::Params {
            queries: n as u32,
            heads: heads as u32,
            group: (heads / kv_heads) as u32,
            head_dim4: (head_dim / 4) as u32,
            q_stride4: (heads * head_dim / 4) as u32,
            kv_stride4: (width / 4) as u32,
            splits: splits as u32,
            // Queries come scaled.
            scale: 1.0,
            ..Default::default()
        },
        visual_attention::Bindings {
            q: &q,
            k,
            v,
            spans: &q,
            y: &parts,
            stats: &stats,
        },
    );
    let grid = match style {
        Style::Serial => [(n * heads).div_ceil(call.kernel.constant("LANES") as usize), splits, 1],
        _ => [
            (n * heads / kv_heads).div_ceil(call.kernel.constant("ROWS") as usize),
            kv_heads,
            splits,
        ],
    };
    launch(&q.client, Launch::with_table(&call, grid, "spans", &table));
    if splits > 1 {
        let call = attention_merge::call(
            attention_merge::Params {
                rows: (n * heads) as u32,
                splits: splits as u32,
                head_dim4: (head_dim / 4) as u32,
                ..Default::default()
            },
            attention_merge::Bindings {
                parts: &parts,
                stats: &stats,
                y: &y,
            },
        );
        let groups = (n * heads * head_dim / 4).div_ceil(call.kernel.workgroup_size[0] as usize);
        launch(&q.client, Launch::plain(&call, [groups, 1, 1]));
    }
    y
}
