//! A linear layer over many rows of input: y = act(x Wᵀ + b) · scale, or y += x Wᵀ.
//!
//! FORM gated: the matrix holds `rows` gate rows, then `rows` up rows; y = silu(x gateᵀ) · (x upᵀ).
//! Bound on a GPU by arithmetic: tiles of x and W are staged in workgroup memory, each invocation keeps 4 × 4 sums.
//! variants: WEIGHT = f32 f16 q8_0 q4_0; FORM = linear gated; STYLE = serial plain

struct Params {
    // Rows of x and y.
    tokens: u32,
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
    if row >= p.rows || token >= p.tokens {
        return;
    }
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
// Lanes along the outputs, TOKENS rows of x each: the address of x is the same for all lanes, and no barrier is needed.
const ROWS: u32 = 64u;
const TOKENS: u32 = 8u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * ROWS + lane;
    let token = group.y * TOKENS;
    let w0 = min(row, p.rows - 1u) * p.k4;
    // Rows past the end repeat the last; `finish` drops them.
    let last = p.tokens - 1u;
    let x0 = min(token, last) * p.k4;
    let x1 = min(token + 1u, last) * p.k4;
    let x2 = min(token + 2u, last) * p.k4;
    let x3 = min(token + 3u, last) * p.k4;
    let x4 = min(token + 4u, last) * p.k4;
    let x5 = min(token + 5u, last) * p.k4;
    let x6 = min(token + 6u, last) * p.k4;
    let x7 = min(token + 7u, last) * p.k4;
    // Two vectors hold the sums of eight tokens.
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
#if FORM_gated
    let u0 = (p.rows + min(row, p.rows - 1u)) * p.k4;
    var b0 = vec4<f32>();
    var b1 = vec4<f32>();
#endif
    for (var k = 0u; k < p.k4; k++) {
        let v0 = x[x0 + k];
        let v1 = x[x1 + k];
        let v2 = x[x2 + k];
        let v3 = x[x3 + k];
        let v4 = x[x4 + k];
        let v5 = x[x5 + k];
        let v6 = x[x6 + k];
        let v7 = x[x7 + k];
        let w = weight4(w0 + k);
        a0 += vec4<f32>(dot(w, v0), dot(w, v1), dot(w, v2), dot(w, v3));
        a1 += vec4<f32>(dot(w, v4), dot(w, v5), dot(w, v6), dot(w, v7));
#if FORM_gated
        let u = weight4(u0 + k);
        b0 += vec4<f32>(dot(u, v0), dot(u, v1), dot(u, v2), dot(u, v3));
        b1 += vec4<f32>(dot(u, v4), dot(u, v5), dot(u, v6), dot(u, v7));
#endif
    }
#if !FORM_gated
    let b0 = vec4<f32>();
    let b1 = vec4<f32>();
#endif
    finish(row, token, a0.x, b0.x);
    finish(row, token + 1u, a0.y, b0.y);
    finish(row, token + 2u, a0.z, b0.z);
    finish(row, token + 3u, a0.w, b0.w);
    finish(row, token + 4u, a1.x, b1.x);
    finish(row, token + 5u, a1.y, b1.y);
    finish(row, token + 6u, a1.z, b1.z);
    finish(row, token + 7u, a1.w, b1.w);
}
#else
// 16 × 16 invocations, each 4 outputs × 4 tokens; gated tiles hold 32 gate rows and the 32 up rows that belong to them.
#if FORM_gated
const ROWS: u32 = 32u;
#else
const ROWS: u32 = 64u;
#endif
const TOKENS: u32 = 64u;
// Groups of four along k in a tile: 64 rows × 4 groups, one load per invocation and matrix.
const TILE_K4: u32 = 4u;

var<workgroup> tile_x: array<vec4<f32>, 256>;
var<workgroup> tile_w: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.x * ROWS;
    let first_token = group.y * TOKENS;
    // Loading: lane / 4 is the tile's row, lane % 4 the group along k.
    let load_k = lane % TILE_K4;
    let load_row = lane / TILE_K4;
    let x_at = min(first_token + load_row, p.tokens - 1u) * p.k4;
#if FORM_gated
    let w_at = ((load_row / ROWS) * p.rows + min(first_row + load_row % ROWS, p.rows - 1u)) * p.k4;
#else
    let w_at = min(first_row + load_row, p.rows - 1u) * p.k4;
#endif
    // Computing: outputs row, row + 16, … and tokens token, token + 16, …
    let row = lane % 16u;
    let token = lane / 16u;
    var sum: array<vec4<f32>, 4>;
    for (var k = 0u; k < p.k4; k += TILE_K4) {
        let inside = k + load_k < p.k4;
        // Column-major tiles: neighbouring rows are neighbours, which spreads the banks.
        let slot = load_k * 64u + load_row;
        tile_x[slot] = select(vec4<f32>(), x[x_at + min(k + load_k, p.k4 - 1u)], inside);
        tile_w[slot] = select(vec4<f32>(), weight4(w_at + min(k + load_k, p.k4 - 1u)), inside);
        workgroupBarrier();
        for (var kk = 0u; kk < TILE_K4; kk++) {
            let base = kk * 64u;
            let w0 = tile_w[base + row];
            let w1 = tile_w[base + row + 16u];
            let w2 = tile_w[base + row + 32u];
            let w3 = tile_w[base + row + 48u];
            for (var t = 0u; t < 4u; t++) {
                let v = tile_x[base + token + t * 16u];
                sum[t] += vec4<f32>(dot(w0, v), dot(w1, v), dot(w2, v), dot(w3, v));
            }
        }
        workgroupBarrier();
    }
    for (var t = 0u; t < 4u; t++) {
        let at = first_token + token + t * 16u;
#if FORM_gated
        finish(first_row + row, at, sum[t].x, sum[t].z);
        finish(first_row + row + 16u, at, sum[t].y, sum[t].w);
#else
        finish(first_row + row, at, sum[t].x, 0.0);
        finish(first_row + row + 16u, at, sum[t].y, 0.0);
        finish(first_row + row + 32u, at, sum[t].z, 0.0);
        finish(first_row + row + 48u, at, sum[t].w, 0.0);
#endif
    }
}
#endif
