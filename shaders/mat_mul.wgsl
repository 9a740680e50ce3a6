//! A linear layer over many rows of input: y = act(x Wᵀ + b) · scale, or y += x Wᵀ.
//!
//! FORM gated: the matrix holds `rows` gate rows, then `rows` up rows; y = silu(x gateᵀ) · (x upᵀ).
//! Bound on a GPU by arithmetic: tiles of x and W are staged in workgroup memory, each invocation keeps 4 × 4 sums.
//! variants: WEIGHT = f32 f16 bf16 q8_0 q4_0; FORM = linear gated; STYLE = serial broadcast plain

#import linear
#import weights

// Tiles reach over the edges.
fn finish_inside(row: u32, token: u32, first: f32, second: f32) {
    if row < p.rows && token < p.tokens {
        finish(row, token, first, second);
    }
}

#if STYLE_serial || STYLE_broadcast
// Software adapters pay for every load of every lane: each invocation keeps 8 outputs × 8 tokens and shares nothing, or
// 8 × 16 of which it loads a quarter of x, the lanes of a subgroup telling each other theirs (at least four lanes).
#if FORM_gated
const OUTPUTS: u32 = 4u;
const ROWS: u32 = 32u;
#else
const OUTPUTS: u32 = 8u;
const ROWS: u32 = 64u;
#endif
#if STYLE_broadcast
const TOKENS: u32 = 16u;
#else
const TOKENS: u32 = 8u;
#endif

fn store(row: u32, token: u32, a: vec4<f32>, b: vec4<f32>) {
#if FORM_gated
    finish_inside(row, token, a.x, b.x);
    finish_inside(row + 1u, token, a.y, b.y);
    finish_inside(row + 2u, token, a.z, b.z);
    finish_inside(row + 3u, token, a.w, b.w);
#else
    finish_inside(row, token, a.x, 0.0);
    finish_inside(row + 1u, token, a.y, 0.0);
    finish_inside(row + 2u, token, a.z, 0.0);
    finish_inside(row + 3u, token, a.w, 0.0);
    finish_inside(row + 4u, token, b.x, 0.0);
    finish_inside(row + 5u, token, b.y, 0.0);
    finish_inside(row + 6u, token, b.z, 0.0);
    finish_inside(row + 7u, token, b.w, 0.0);
#endif
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#if STYLE_broadcast
    @builtin(subgroup_invocation_id) sub_lane: u32,
#endif
) {
    let row = group.x * ROWS + lane * OUTPUTS;
    let token = group.y * TOKENS;
#if STYLE_serial
    if row >= p.rows {
        return;
    }
#endif
    // Rows past the end repeat the last; `finish_inside` drops them.
    let last_row = p.rows - 1u;
    let w0 = min(row + 0u, last_row) * p.k4;
    let w1 = min(row + 1u, last_row) * p.k4;
    let w2 = min(row + 2u, last_row) * p.k4;
    let w3 = min(row + 3u, last_row) * p.k4;
#if FORM_gated
    let w4 = (p.rows + min(row + 0u, last_row)) * p.k4;
    let w5 = (p.rows + min(row + 1u, last_row)) * p.k4;
    let w6 = (p.rows + min(row + 2u, last_row)) * p.k4;
    let w7 = (p.rows + min(row + 3u, last_row)) * p.k4;
#else
    let w4 = min(row + 4u, last_row) * p.k4;
    let w5 = min(row + 5u, last_row) * p.k4;
    let w6 = min(row + 6u, last_row) * p.k4;
    let w7 = min(row + 7u, last_row) * p.k4;
#endif
    let last = p.tokens - 1u;
#if STYLE_serial
    let x0 = min(token, last) * p.k4;
    let x1 = min(token + 1u, last) * p.k4;
    let x2 = min(token + 2u, last) * p.k4;
    let x3 = min(token + 3u, last) * p.k4;
    let x4 = min(token + 4u, last) * p.k4;
    let x5 = min(token + 5u, last) * p.k4;
    let x6 = min(token + 6u, last) * p.k4;
    let x7 = min(token + 7u, last) * p.k4;
#else
    let share = token + (sub_lane & 3u);
    let x0 = min(share, last) * p.k4;
    let x4 = min(share + 4u, last) * p.k4;
    let x8 = min(share + 8u, last) * p.k4;
    let x12 = min(share + 12u, last) * p.k4;
#endif
    var a0 = vec4<f32>();
    var b0 = vec4<f32>();
    var a1 = vec4<f32>();
    var b1 = vec4<f32>();
    var a2 = vec4<f32>();
    var b2 = vec4<f32>();
    var a3 = vec4<f32>();
    var b3 = vec4<f32>();
    var a4 = vec4<f32>();
    var b4 = vec4<f32>();
    var a5 = vec4<f32>();
    var b5 = vec4<f32>();
    var a6 = vec4<f32>();
    var b6 = vec4<f32>();
    var a7 = vec4<f32>();
    var b7 = vec4<f32>();
#if STYLE_broadcast
    var a8 = vec4<f32>();
    var b8 = vec4<f32>();
    var a9 = vec4<f32>();
    var b9 = vec4<f32>();
    var a10 = vec4<f32>();
    var b10 = vec4<f32>();
    var a11 = vec4<f32>();
    var b11 = vec4<f32>();
    var a12 = vec4<f32>();
    var b12 = vec4<f32>();
    var a13 = vec4<f32>();
    var b13 = vec4<f32>();
    var a14 = vec4<f32>();
    var b14 = vec4<f32>();
    var a15 = vec4<f32>();
    var b15 = vec4<f32>();
#endif
    for (var k = 0u; k < p.k4; k++) {
        let m0 = weight4(w0 + k);
        let m1 = weight4(w1 + k);
        let m2 = weight4(w2 + k);
        let m3 = weight4(w3 + k);
        let m4 = weight4(w4 + k);
        let m5 = weight4(w5 + k);
        let m6 = weight4(w6 + k);
        let m7 = weight4(w7 + k);
#if STYLE_serial
        let v0 = x[x0 + k];
        a0 += vec4<f32>(dot(m0, v0), dot(m1, v0), dot(m2, v0), dot(m3, v0));
        b0 += vec4<f32>(dot(m4, v0), dot(m5, v0), dot(m6, v0), dot(m7, v0));
        let v1 = x[x1 + k];
        a1 += vec4<f32>(dot(m0, v1), dot(m1, v1), dot(m2, v1), dot(m3, v1));
        b1 += vec4<f32>(dot(m4, v1), dot(m5, v1), dot(m6, v1), dot(m7, v1));
        let v2 = x[x2 + k];
        a2 += vec4<f32>(dot(m0, v2), dot(m1, v2), dot(m2, v2), dot(m3, v2));
        b2 += vec4<f32>(dot(m4, v2), dot(m5, v2), dot(m6, v2), dot(m7, v2));
        let v3 = x[x3 + k];
        a3 += vec4<f32>(dot(m0, v3), dot(m1, v3), dot(m2, v3), dot(m3, v3));
        b3 += vec4<f32>(dot(m4, v3), dot(m5, v3), dot(m6, v3), dot(m7, v3));
        let v4 = x[x4 + k];
        a4 += vec4<f32>(dot(m0, v4), dot(m1, v4), dot(m2, v4), dot(m3, v4));
        b4 += vec4<f32>(dot(m4, v4), dot(m5, v4), dot(m6, v4), dot(m7, v4));
        let v5 = x[x5 + k];
        a5 += vec4<f32>(dot(m0, v5), dot(m1, v5), dot(m2, v5), dot(m3, v5));
        b5 += vec4<f32>(dot(m4, v5), dot(m5, v5), dot(m6, v5), dot(m7, v5));
        let v6 = x[x6 + k];
        a6 += vec4<f32>(dot(m0, v6), dot(m1, v6), dot(m2, v6), dot(m3, v6));
        b6 += vec4<f32>(dot(m4, v6), dot(m5, v6), dot(m6, v6), dot(m7, v6));
        let v7 = x[x7 + k];
        a7 += vec4<f32>(dot(m0, v7), dot(m1, v7), dot(m2, v7), dot(m3, v7));
        b7 += vec4<f32>(dot(m4, v7), dot(m5, v7), dot(m6, v7), dot(m7, v7));
#else
        let from0 = x[x0 + k];
        let v0 = subgroupBroadcast(from0, 0u);
        a0 += vec4<f32>(dot(m0, v0), dot(m1, v0), dot(m2, v0), dot(m3, v0));
        b0 += vec4<f32>(dot(m4, v0), dot(m5, v0), dot(m6, v0), dot(m7, v0));
        let v1 = subgroupBroadcast(from0, 1u);
        a1 += vec4<f32>(dot(m0, v1), dot(m1, v1), dot(m2, v1), dot(m3, v1));
        b1 += vec4<f32>(dot(m4, v1), dot(m5, v1), dot(m6, v1), dot(m7, v1));
        let v2 = subgroupBroadcast(from0, 2u);
        a2 += vec4<f32>(dot(m0, v2), dot(m1, v2), dot(m2, v2), dot(m3, v2));
        b2 += vec4<f32>(dot(m4, v2), dot(m5, v2), dot(m6, v2), dot(m7, v2));
        let v3 = subgroupBroadcast(from0, 3u);
        a3 += vec4<f32>(dot(m0, v3), dot(m1, v3), dot(m2, v3), dot(m3, v3));
        b3 += vec4<f32>(dot(m4, v3), dot(m5, v3), dot(m6, v3), dot(m7, v3));
        let from4 = x[x4 + k];
        let v4 = subgroupBroadcast(from4, 0u);
        a4 += vec4<f32>(dot(m0, v4), dot(m1, v4), dot(m2, v4), dot(m3, v4));
        b4 += vec4<f32>(dot(m4, v4), dot(m5, v4), dot(m6, v4), dot(m7, v4));
        let v5 = subgroupBroadcast(from4, 1u);
        a5 += vec4<f32>(dot(m0, v5), dot(m1, v5), dot(m2, v5), dot(m3, v5));
        b5 += vec4<f32>(dot(m4, v5), dot(m5, v5), dot(m6, v5), dot(m7, v5));
        let v6 = subgroupBroadcast(from4, 2u);
        a6 += vec4<f32>(dot(m0, v6), dot(m1, v6), dot(m2, v6), dot(m3, v6));
        b6 += vec4<f32>(dot(m4, v6), dot(m5, v6), dot(m6, v6), dot(m7, v6));
        let v7 = subgroupBroadcast(from4, 3u);
        a7 += vec4<f32>(dot(m0, v7), dot(m1, v7), dot(m2, v7), dot(m3, v7));
        b7 += vec4<f32>(dot(m4, v7), dot(m5, v7), dot(m6, v7), dot(m7, v7));
        let from8 = x[x8 + k];
        let v8 = subgroupBroadcast(from8, 0u);
        a8 += vec4<f32>(dot(m0, v8), dot(m1, v8), dot(m2, v8), dot(m3, v8));
        b8 += vec4<f32>(dot(m4, v8), dot(m5, v8), dot(m6, v8), dot(m7, v8));
        let v9 = subgroupBroadcast(from8, 1u);
        a9 += vec4<f32>(dot(m0, v9), dot(m1, v9), dot(m2, v9), dot(m3, v9));
        b9 += vec4<f32>(dot(m4, v9), dot(m5, v9), dot(m6, v9), dot(m7, v9));
        let v10 = subgroupBroadcast(from8, 2u);
        a10 += vec4<f32>(dot(m0, v10), dot(m1, v10), dot(m2, v10), dot(m3, v10));
        b10 += vec4<f32>(dot(m4, v10), dot(m5, v10), dot(m6, v10), dot(m7, v10));
        let v11 = subgroupBroadcast(from8, 3u);
        a11 += vec4<f32>(dot(m0, v11), dot(m1, v11), dot(m2, v11), dot(m3, v11));
        b11 += vec4<f32>(dot(m4, v11), dot(m5, v11), dot(m6, v11), dot(m7, v11));
        let from12 = x[x12 + k];
        let v12 = subgroupBroadcast(from12, 0u);
        a12 += vec4<f32>(dot(m0, v12), dot(m1, v12), dot(m2, v12), dot(m3, v12));
        b12 += vec4<f32>(dot(m4, v12), dot(m5, v12), dot(m6, v12), dot(m7, v12));
        let v13 = subgroupBroadcast(from12, 1u);
        a13 += vec4<f32>(dot(m0, v13), dot(m1, v13), dot(m2, v13), dot(m3, v13));
        b13 += vec4<f32>(dot(m4, v13), dot(m5, v13), dot(m6, v13), dot(m7, v13));
        let v14 = subgroupBroadcast(from12, 2u);
        a14 += vec4<f32>(dot(m0, v14), dot(m1, v14), dot(m2, v14), dot(m3, v14));
        b14 += vec4<f32>(dot(m4, v14), dot(m5, v14), dot(m6, v14), dot(m7, v14));
        let v15 = subgroupBroadcast(from12, 3u);
        a15 += vec4<f32>(dot(m0, v15), dot(m1, v15), dot(m2, v15), dot(m3, v15));
        b15 += vec4<f32>(dot(m4, v15), dot(m5, v15), dot(m6, v15), dot(m7, v15));
#endif
    }
    store(row, token, a0, b0);
    store(row, token + 1u, a1, b1);
    store(row, token + 2u, a2, b2);
    store(row, token + 3u, a3, b3);
    store(row, token + 4u, a4, b4);
    store(row, token + 5u, a5, b5);
    store(row, token + 6u, a6, b6);
    store(row, token + 7u, a7, b7);
#if STYLE_broadcast
    store(row, token + 8u, a8, b8);
    store(row, token + 9u, a9, b9);
    store(row, token + 10u, a10, b10);
    store(row, token + 11u, a11, b11);
    store(row, token + 12u, a12, b12);
    store(row, token + 13u, a13, b13);
    store(row, token + 14u, a14, b14);
    store(row, token + 15u, a15, b15);
#endif
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
        finish_inside(first_row + row, at, sum[t].x, sum[t].z);
        finish_inside(first_row + row + 16u, at, sum[t].y, sum[t].w);
#else
        finish_inside(first_row + row, at, sum[t].x, 0.0);
        finish_inside(first_row + row + 16u, at, sum[t].y, 0.0);
        finish_inside(first_row + row + 32u, at, sum[t].z, 0.0);
        finish_inside(first_row + row + 48u, at, sum[t].w, 0.0);
#endif
    }
}
#endif
