//! Splits fused projections into heads: norm of each query and key head (Qwen3), RoPE (rotate-half), and the new rows
//! of the KV.
//!
//! Element i of `qkv` stands at position `position0 + i` (the row of `rope`) and becomes KV row `kv_row0 + i`.
//! One workgroup per head and element. Bound on a GPU by latency.
//! variants: STYLE = serial plain subgroup

struct Params {
    elements: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    position0: u32,
    kv_row0: u32,
    has_norm: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [elements, heads + 2 · kv_heads, head_dim]
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
// (cos, sin) of [position, head_dim / 2]
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;
// Weights of the query norm, then of the key norm; [2 · head_dim]
@group(0) @binding(3) var<storage, read> norms: array<f32>;
// [elements, heads, head_dim]
@group(0) @binding(4) var<storage, read_write> q: array<f32>;
// [slot, kv_heads, head_dim]
@group(0) @binding(5) var<storage, read_write> k: array<f32>;
@group(0) @binding(6) var<storage, read_write> v: array<f32>;

fn norm_weight(head: u32, dim: u32) -> f32 {
    if p.has_norm == 0u {
        return 1.0;
    }
    return norms[select(0u, p.head_dim, head >= p.heads) + dim];
}

fn store(head: u32, element: u32, dim: u32, value: f32) {
    let row = (p.kv_row0 + element) * p.kv_heads;
    if head < p.heads {
        q[(element * p.heads + head) * p.head_dim + dim] = value;
    } else if head < p.heads + p.kv_heads {
        k[(row + head - p.heads) * p.head_dim + dim] = value;
    } else {
        v[(row + head - p.heads - p.kv_heads) * p.head_dim + dim] = value;
    }
}

// Pair `i` is (x[i], x[i + head_dim / 2]).
fn rotate(head: u32, element: u32, start: u32, i: u32, scale: f32) {
    let pairs = p.head_dim / 2u;
    let a = qkv[start + i];
    let b = qkv[start + pairs + i];
    if head >= p.heads + p.kv_heads {
        store(head, element, i, a);
        store(head, element, pairs + i, b);
        return;
    }
    let na = a * scale * norm_weight(head, i);
    let nb = b * scale * norm_weight(head, pairs + i);
    let turn = rope[(p.position0 + element) * pairs + i];
    store(head, element, i, na * turn.x - nb * turn.y);
    store(head, element, pairs + i, nb * turn.x + na * turn.y);
}

#if STYLE_serial
// Heads of a workgroup.
const HEADS: u32 = 8u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let all = p.heads + 2u * p.kv_heads;
    let head = id.x;
    let element = id.y;
    if head >= all {
        return;
    }
    let start = (element * all + head) * p.head_dim;
    var scale = 1.0;
    if p.has_norm != 0u && head < p.heads + p.kv_heads {
        var sum = 0.0;
        for (var i = 0u; i < p.head_dim; i++) {
            let value = qkv[start + i];
            sum += value * value;
        }
        scale = inverseSqrt(sum / f32(p.head_dim) + p.eps);
    }
    for (var i = 0u; i < p.head_dim / 2u; i++) {
        rotate(head, element, start, i, scale);
    }
}
#else
const LANES: u32 = 32u;
const HEADS: u32 = 1u;
#import row_sum

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#if STYLE_subgroup
    @builtin(subgroup_invocation_id) sub_lane: u32,
    @builtin(subgroup_id) sub: u32,
    @builtin(num_subgroups) subs: u32,
#endif
) {
    let head = group.x;
    let element = group.y;
    let start = (element * (p.heads + 2u * p.kv_heads) + head) * p.head_dim;
    var part = 0.0;
    for (var i = lane; i < p.head_dim; i += LANES) {
        let value = qkv[start + i];
        part += value * value;
    }
#if STYLE_subgroup
    let sum = row_sum(part, lane, sub_lane, sub, subs);
#else
    let sum = row_sum(part, lane);
#endif
    let scale = select(1.0, inverseSqrt(sum / f32(p.head_dim) + p.eps), p.has_norm != 0u);
    for (var i = lane; i < p.head_dim / 2u; i += LANES) {
        rotate(head, element, start, i, scale);
    }
}
#endif
