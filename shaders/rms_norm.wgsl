//! RMSNorm of rows: y = x / sqrt(mean(x²) + eps) · w.
//!
//! Bound on a GPU by latency: one workgroup a row.
//! variants: STYLE = serial plain subgroup

struct Params {
    // Rows to normalise, from row `row0` of x on; y begins with the first of them.
    rows: u32,
    row0: u32,
    // Groups of four in a row.
    d4: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

#if STYLE_serial
const LANES: u32 = 1u;
// Rows of a workgroup.
const ROWS: u32 = 8u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= p.rows {
        return;
    }
    let start = (p.row0 + row) * p.d4;
    var sum = vec4<f32>();
    for (var i = 0u; i < p.d4; i++) {
        let v = x[start + i];
        sum += v * v;
    }
    let scale = inverseSqrt(dot(sum, vec4<f32>(1.0)) / f32(4u * p.d4) + p.eps);
    for (var i = 0u; i < p.d4; i++) {
        y[row * p.d4 + i] = x[start + i] * scale * weight[i];
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
    let row = group.x;
    let start = (p.row0 + row) * p.d4;
    var part = 0.0;
    for (var i = lane; i < p.d4; i += LANES) {
        let v = x[start + i];
        part += dot(v, v);
    }
#if STYLE_subgroup
    let sum = row_sum(part, lane, sub_lane, sub, subs);
#else
    let sum = row_sum(part, lane);
#endif
    let scale = inverseSqrt(sum / f32(4u * p.d4) + p.eps);
    for (var i = lane; i < p.d4; i += LANES) {
        y[row * p.d4 + i] = x[start + i] * scale * weight[i];
    }
}
#endif
