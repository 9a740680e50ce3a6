//! A linear layer over few rows of input, one matrix product per row of `x`: y = act(W x + b) · scale, or y += W x.
//!
//! FORM gated: the matrix holds `rows` gate rows, then `rows` up rows; y = silu(gate x) · (up x).
//! Bound on a GPU by reading the weights once: neighbouring invocations read neighbouring groups of four of one row.
//! variants: WEIGHT = f32 f16 bf16 q8_0 q4_0; FORM = linear gated; STYLE = serial broadcast plain subgroup

#import linear

// Rows of x that a workgroup takes.
const TOKENS: u32 = 1u;

#if STYLE_serial || STYLE_broadcast
// No barrier, and what is loaded of x serves several rows: software adapters pay for every load of every lane. Quantised
// rows are four: of eight, the loop outgrows the processor's first cache (a sixth slower on SwiftShader, a tenth on
// lavapipe). In style broadcast the lanes of a subgroup (at least four) tell each other what they loaded of x.
//
// The rows of the lanes lie as far apart as can be, and the next workgroup goes on where each of them ends: the processor
// then sees that many streams, and fetches ahead. Of rows side by side it does not, and waits for a third of the time
// (q8_0). Where a subgroup has eight lanes (lavapipe), so do the rows of one lane; with four (SwiftShader, which a
// browser shows without subgroups) they lie side by side: operations are what takes the time there, and rows far apart
// took 5% more (q4_0).
#import weight_step
#if WEIGHT_q8_0 || WEIGHT_q4_0
const SUMS: u32 = 4u;
#else
const SUMS: u32 = 8u;
#endif
#if FORM_gated
const OUTPUTS: u32 = SUMS / 2u;
#else
const OUTPUTS: u32 = SUMS;
#endif
const LANES: u32 = 8u;
const ROWS: u32 = LANES * OUTPUTS;

// The first step of the row that sum number `i` belongs to, of rows from `row` on that are `apart`. Rows past the end
// repeat the last: every lane takes part in telling.
fn row_start(row: u32, apart: u32, i: u32) -> u32 {
#if FORM_gated
    return (select(0u, p.rows, i >= OUTPUTS) + min(row + apart * (i % OUTPUTS), p.rows - 1u)) * steps();
#else
    return min(row + apart * i, p.rows - 1u) * steps();
#endif
}

fn store(row: u32, token: u32, first: f32, second: f32) {
    if row < p.rows {
        finish(row, token, first, second);
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#if STYLE_broadcast
    @builtin(subgroup_invocation_id) sub_lane: u32,
    @builtin(subgroup_size) sub_lanes: u32,
#endif
) {
#if STYLE_broadcast
    let far = sub_lanes >= 8u;
    let share = sub_lane & 3u;
#else
    const far = false;
#endif
    let apart = select(1u, groups.x, far);
    let row = group.x * select(OUTPUTS, 1u, far) + lane * OUTPUTS * groups.x;
#if STYLE_serial
    if row >= p.rows {
        return;
    }
    const share = 0u;
#endif
    let w0 = row_start(row, apart, 0u);
    let w1 = row_start(row, apart, 1u);
    let w2 = row_start(row, apart, 2u);
    let w3 = row_start(row, apart, 3u);
    var s0 = 0.0;
    var s1 = 0.0;
    var s2 = 0.0;
    var s3 = 0.0;
#if WEIGHT_f32 || WEIGHT_f16 || WEIGHT_bf16
    let w4 = row_start(row, apart, 4u);
    let w5 = row_start(row, apart, 5u);
    let w6 = row_start(row, apart, 6u);
    let w7 = row_start(row, apart, 7u);
    var s4 = 0.0;
    var s5 = 0.0;
    var s6 = 0.0;
    var s7 = 0.0;
#endif
    let xs = group.y * steps();
    for (var k = 0u; k < steps(); k++) {
        let v = step_of_x(xs + k, share);
        s0 += step_dot(w0 + k, v);
        s1 += step_dot(w1 + k, v);
        s2 += step_dot(w2 + k, v);
        s3 += step_dot(w3 + k, v);
#if WEIGHT_f32 || WEIGHT_f16 || WEIGHT_bf16
        s4 += step_dot(w4 + k, v);
        s5 += step_dot(w5 + k, v);
        s6 += step_dot(w6 + k, v);
        s7 += step_dot(w7 + k, v);
#endif
    }
#if FORM_gated
#if WEIGHT_f32 || WEIGHT_f16 || WEIGHT_bf16
    store(row, group.y, s0, s4);
    store(row + apart, group.y, s1, s5);
    store(row + 2u * apart, group.y, s2, s6);
    store(row + 3u * apart, group.y, s3, s7);
#else
    store(row, group.y, s0, s2);
    store(row + apart, group.y, s1, s3);
#endif
#else
    store(row, group.y, s0, 0.0);
    store(row + apart, group.y, s1, 0.0);
    store(row + 2u * apart, group.y, s2, 0.0);
    store(row + 3u * apart, group.y, s3, 0.0);
#if WEIGHT_f32 || WEIGHT_f16 || WEIGHT_bf16
    store(row + 4u * apart, group.y, s4, 0.0);
    store(row + 5u * apart, group.y, s5, 0.0);
    store(row + 6u * apart, group.y, s6, 0.0);
    store(row + 7u * apart, group.y, s7, 0.0);
#endif
#endif
}
#else
#import weights
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
