//! Puts the splits of `visual_attention` together: weighs each by its share of the whole softmax.
//!
//! Bound on a GPU by latency.

struct Params {
    // queries × heads
    rows: u32,
    splits: u32,
    head_dim4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [rows, splits, head_dim], not normalised
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
// (largest score, sum of weights) of [rows, splits]
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;
// [rows, head_dim]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.rows * p.head_dim4 {
        return;
    }
    let row = id.x / p.head_dim4;
    let d = id.x % p.head_dim4;
    var largest = -1e30;
    for (var s = 0u; s < p.splits; s++) {
        largest = max(largest, stats[row * p.splits + s].x);
    }
    var sum = 0.0;
    var value = vec4<f32>();
    for (var s = 0u; s < p.splits; s++) {
        let part = row * p.splits + s;
        // A split that saw nothing has no weight.
        if stats[part].y > 0.0 {
            let share = exp(stats[part].x - largest);
            sum += share * stats[part].y;
            value += share * parts[part * p.head_dim4 + d];
        }
    }
    y[id.x] = value / sum;
}
