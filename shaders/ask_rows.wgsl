//! Largest score and sum of weights of every (query, head) over what it sees: what `ask_slots` divides by.
//!
//! Only launched while it is watched which pages text asks for (`--unfold`). Bound on a GPU by reading K once per head.
//! variants: STYLE = serial plain

struct Params {
    queries: u32,
    heads: u32,
    // Query heads that share a key head.
    group: u32,
    // Groups of four in a head; rows of q and k hold nothing but heads.
    head_dim4: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
// One per query: the slots a0 … a1-1 and b0 … b1-1.
@group(0) @binding(3) var<storage, read> spans: array<vec4<u32>>;
// (largest score, sum of weights) of [queries, heads]
@group(0) @binding(4) var<storage, read_write> softmax: array<vec2<f32>>;

const NEVER: f32 = -1e30;

// What slots `start`, `start + step`, … of a span add to a row's softmax.
fn over(row: u32, span: vec4<u32>, start: u32, step: u32) -> vec2<f32> {
    let stride = (p.heads / p.group) * p.head_dim4;
    let kv_at = ((row % p.heads) / p.group) * p.head_dim4;
    let q_at = row * p.head_dim4;
    let first = span.y - span.x;
    let total = first + (span.w - span.z);
    var largest = NEVER;
    var sum = 0.0;
    for (var i = start; i < total; i += step) {
        let slot = select(span.z + (i - first), span.x + i, i < first);
        let at = slot * stride + kv_at;
        var parts = vec4<f32>();
        for (var d = 0u; d < p.head_dim4; d++) {
            parts += q[q_at + d] * k[at + d];
        }
        let score = p.scale * dot(parts, vec4<f32>(1.0));
        let now = max(largest, score);
        sum = sum * exp(largest - now) + exp(score - now);
        largest = now;
    }
    return vec2<f32>(largest, sum);
}

#if STYLE_serial
const LANES: u32 = 1u;
// Rows of a workgroup.
const ROWS: u32 = 8u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.queries * p.heads {
        softmax[id.x] = over(id.x, spans[id.x / p.heads], 0u, 1u);
    }
}
#else
const LANES: u32 = 64u;
const ROWS: u32 = 1u;

var<workgroup> parts: array<vec2<f32>, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    parts[lane] = over(row, spans[row / p.heads], lane, LANES);
    workgroupBarrier();
    if lane == 0u {
        var all = vec2<f32>(NEVER, 0.0);
        for (var i = 0u; i < LANES; i++) {
            let part = parts[i];
            let now = max(all.x, part.x);
            all = vec2<f32>(now, all.y * exp(all.x - now) + part.y * exp(part.x - now));
        }
        softmax[row] = all;
    }
}
#endif
