//! LayerNorm of rows: y = (x - mean) / sqrt(variance + eps) · w + b.
//!
//! Bound on a GPU by latency: one workgroup a row. The variance is taken around the mean in a second pass, as a
//! difference of squares would lose what little f32 has.
//! variants: STYLE = serial plain subgroup

struct Params {
    rows: u32,
    // Groups of four in a row.
    d4: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

#if STYLE_serial
// Rows of a workgroup.
const ROWS: u32 = 8u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= p.rows {
        return;
    }
    let start = row * p.d4;
    let count = f32(4u * p.d4);
    let ones = vec4<f32>(1.0);
    var sum = vec4<f32>();
    for (var i = 0u; i < p.d4; i++) {
        sum += x[start + i];
    }
    let mean = dot(sum, ones) / count;
    var squares = vec4<f32>();
    for (var i = 0u; i < p.d4; i++) {
        let v = x[start + i] - mean;
        squares += v * v;
    }
    let scale = inverseSqrt(dot(squares, ones) / count + p.eps);
    for (var i = 0u; i < p.d4; i++) {
        y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
    }
}
#else
const LANES: u32 = 64u;
const ROWS: u32 = 1u;
#import row_sum

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#if STYLE_subgroup
    @builtin(subgroup_invocation_id) sub_lane: u32,
    @builtin(subgroup_id) sub: u32,
    @builtin(num_subgroups) subs: u32,
#endif
) {
    let start = group.x * p.d4;
    let count = f32(4u * p.d4);
    var part = 0.0;
    for (var i = lane; i < p.d4; i += LANES) {
        part += dot(x[start + i], vec4<f32>(1.0));
    }
#if STYLE_subgroup
    let mean = row_sum(part, lane, sub_lane, sub, subs) / count;
#else
    let mean = row_sum(part, lane) / count;
#endif
    part = 0.0;
    for (var i = lane; i < p.d4; i += LANES) {
        let v = x[start + i] - mean;
        part += dot(v, v);
    }
#if STYLE_subgroup
    let squares = row_sum(part, lane, sub_lane, sub, subs);
#else
    let squares = row_sum(part, lane);
#endif
    let scale = inverseSqrt(squares / count + p.eps);
    for (var i = lane; i < p.d4; i += LANES) {
        y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
    }
}
#endif
