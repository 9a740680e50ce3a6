//! Adds to each slot of memory the attention that it is given: softmax weights summed over queries and heads.
//!
//! Only launched while it is watched which pages text asks for (`--unfold`); the slots are those that every query sees.
//! Bound on a GPU by reading K once: one invocation a slot.

struct Params {
    queries: u32,
    heads: u32,
    // Query heads that share a key head.
    group: u32,
    // Groups of four in a head; rows of q and k hold nothing but heads.
    head_dim4: u32,
    slots: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
// (largest score, sum of weights) of [queries, heads]
@group(0) @binding(3) var<storage, read> softmax: array<vec2<f32>>;
// [slots]
@group(0) @binding(4) var<storage, read_write> asked: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.slots {
        return;
    }
    let kv_heads = p.heads / p.group;
    var sum = 0.0;
    for (var row = 0u; row < p.queries * p.heads; row++) {
        let at = (id.x * kv_heads + (row % p.heads) / p.group) * p.head_dim4;
        var parts = vec4<f32>();
        for (var d = 0u; d < p.head_dim4; d++) {
            parts += q[row * p.head_dim4 + d] * k[at + d];
        }
        let row_of = softmax[row];
        sum += exp(p.scale * dot(parts, vec4<f32>(1.0)) - row_of.x) / row_of.y;
    }
    asked[id.x] += sum;
}
