//! A linear layer over few rows of input, one matrix product per row of `x`: y = act(W x + b) · scale, or y += W x.
//!
//! FORM gated: the matrix holds `rows` gate rows, then `rows` up rows; y = silu(gate x) · (up x).
//! Bound on a GPU by reading the weights once: neighbouring invocations read neighbouring groups of four of one row.
//! variants: WEIGHT = f32 f16 q8_0 q4_0; FORM = linear gated; STYLE = serial plain subgroup

struct Params {
    // Outputs of this matrix (shard), and where they begin in a row of y.
    rows: u32,
    row0: u32,
    // Groups of four in a row of W and of x.
    k4: u32,
    // Values in a row of y.
    y_stride: u32,
    // First word of the scales (quantised weights).
    scales: u32,
    has_bias: u32,
    accumulate: u32,
    activation: u32,
    out_scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
#import weights
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#import activation

fn finish(row: u32, token: u32, first: f32, second: f32) {
    let at = token * p.y_stride + p.row0 + row;
#if FORM_gated
    y[at] = silu(first) * second;
#else
    var value = first;
    if p.has_bias != 0u {
        value += bias[p.row0 + row];
    }
    value = p.out_scale * activate(value, p.activation);
    if p.accumulate != 0u {
        value += y[at];
    }
    y[at] = value;
#endif
}

#if STYLE_serial
// No barrier, and each group of four of x is loaded once for four rows: what software adapters do best.
#if FORM_gated
const OUTPUTS: u32 = 2u;
const ROWS: u32 = 16u;
#else
const OUTPUTS: u32 = 4u;
const ROWS: u32 = 32u;
#endif

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * ROWS + lane * OUTPUTS;
    if row >= p.rows {
        return;
    }
    // Rows past the end repeat the last.
    let last_row = p.rows - 1u;
    let w0 = row * p.k4;
    let w1 = min(row + 1u, last_row) * p.k4;
#if FORM_gated
    let w2 = (p.rows + row) * p.k4;
    let w3 = (p.rows + min(row + 1u, last_row)) * p.k4;
#else
    let w2 = min(row + 2u, last_row) * p.k4;
    let w3 = min(row + 3u, last_row) * p.k4;
#endif
    let xs = group.y * p.k4;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var k = 0u; k < p.k4; k++) {
        let v = x[xs + k];
        s0 += weight4(w0 + k) * v;
        s1 += weight4(w1 + k) * v;
        s2 += weight4(w2 + k) * v;
        s3 += weight4(w3 + k) * v;
    }
    let ones = vec4<f32>(1.0);
#if FORM_gated
    finish(row, group.y, dot(s0, ones), dot(s2, ones));
    if row + 1u < p.rows {
        finish(row + 1u, group.y, dot(s1, ones), dot(s3, ones));
    }
#else
    finish(row, group.y, dot(s0, ones), 0.0);
    if row + 1u < p.rows {
        finish(row + 1u, group.y, dot(s1, ones), 0.0);
    }
    if row + 2u < p.rows {
        finish(row + 2u, group.y, dot(s2, ones), 0.0);
    }
    if row + 3u < p.rows {
        finish(row + 3u, group.y, dot(s3, ones), 0.0);
    }
#endif
}
#else
// A workgroup shares ROWS outputs; every invocation takes a stride of each row.
const ROWS: u32 = 4u;
const LANES: u32 = 64u;
#if FORM_gated
const SUMS: u32 = 8u;
#else
const SUMS: u32 = 4u;
#endif

var<workgroup> partial: array<f32, SUMS * LANES>;

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
    let first = group.x * ROWS;
    let xs = group.y * p.k4;
    var sum: array<f32, SUMS>;
    for (var k = lane; k < p.k4; k += LANES) {
        let v = x[xs + k];
        for (var r = 0u; r < ROWS; r++) {
            // A row past the end repeats the last: every lane takes part in the reduction.
            let row = min(first + r, p.rows - 1u);
            sum[r] += dot(weight4(row * p.k4 + k), v);
#if FORM_gated
            sum[ROWS + r] += dot(weight4((p.rows + row) * p.k4 + k), v);
#endif
        }
    }
#if STYLE_subgroup
    for (var r = 0u; r < SUMS; r++) {
        let total = subgroupAdd(sum[r]);
        if sub_lane == 0u {
            partial[r * LANES + sub] = total;
        }
    }
    workgroupBarrier();
    let parts = subs;
#else
    for (var r = 0u; r < SUMS; r++) {
        partial[r * LANES + lane] = sum[r];
    }
    workgroupBarrier();
    // SUMS × 8 invocations add eight values each, so that one more barrier is enough.
    const PARTS = 8u;
    let parts = PARTS;
    var total = 0.0;
    if lane < SUMS * PARTS {
        let base = (lane / PARTS) * LANES + (lane % PARTS) * (LANES / PARTS);
        for (var i = 0u; i < LANES / PARTS; i++) {
            total += partial[base + i];
        }
    }
    workgroupBarrier();
    if lane < SUMS * PARTS {
        partial[(lane / PARTS) * LANES + lane % PARTS] = total;
    }
    workgroupBarrier();
#endif
    if lane < ROWS && first + lane < p.rows {
        var a = 0.0;
        var b = 0.0;
        for (var i = 0u; i < parts; i++) {
            a += partial[lane * LANES + i];
#if FORM_gated
            b += partial[(ROWS + lane) * LANES + i];
#endif
        }
        finish(first + lane, group.y, a, b);
    }
}
#endif
