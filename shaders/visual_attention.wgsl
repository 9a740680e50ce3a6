//! Attention of new elements over visual slots, raw slots and the open chunk (spec section 3), grouped-query.
//!
//! Each query has a *span* (a0, a1, b0, b1): it sees the slots a0 … a1-1 and b0 … b1-1, nothing else. Spans come from
//! `engine/context`; slots outside the spans of a tile are never touched, so the cost is that of what is seen.
//! With `splits` > 1 the seen slots are divided among workgroups, and `attention_merge` puts the parts together.
//! Bound on a GPU by reading K and V once per key head: all query heads of a group share a tile.
//! variants: STYLE = serial plain

struct Params {
    queries: u32,
    heads: u32,
    // Query heads that share a key head.
    group: u32,
    // Groups of four in a head.
    head_dim4: u32,
    // Rows of q, k and v in groups of four, and where in its row the first head begins.
    q_stride4: u32,
    q_offset4: u32,
    kv_stride4: u32,
    k_offset4: u32,
    v_offset4: u32,
    splits: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
#if STYLE_serial
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
#else
@group(0) @binding(3) var<storage, read> v: array<f32>;
#endif
// One per query.
@group(0) @binding(4) var<storage, read> spans: array<vec4<u32>>;
// [queries, heads, splits, head_dim]; normalised when there is one split.
#if STYLE_serial
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
#else
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#endif
// (largest score, sum of weights) of [queries, heads, splits]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;

const NEVER: f32 = -1e30;

// The v-th slot of a span.
fn slot_of(span: vec4<u32>, index: u32) -> u32 {
    let first = span.y - span.x;
    return select(span.z + (index - first), span.x + index, index < first);
}

#if STYLE_serial
// One invocation per query head and split. Slots in blocks, so that the sums over V are read and written once a block.
const LANES: u32 = 8u;
const BLOCK: u32 = 8u;
const MAX_HEAD_DIM4: u32 = 64u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.queries * p.heads {
        return;
    }
    let query = id.x / p.heads;
    let head = id.x % p.heads;
    let split = id.y;
    let span = spans[query];
    let total = (span.y - span.x) + (span.w - span.z);
    let length = (total + p.splits - 1u) / p.splits;
    let first = min(split * length, total);
    let last = min(first + length, total);
    let q_at = query * p.q_stride4 + p.q_offset4 + head * p.head_dim4;
    let kv_head = (head / p.group) * p.head_dim4;

    var acc: array<vec4<f32>, MAX_HEAD_DIM4>;
    for (var d = 0u; d < p.head_dim4; d++) {
        acc[d] = vec4<f32>();
    }
    var largest = NEVER;
    var sum = 0.0;
    for (var base = first; base < last; base += BLOCK) {
        var rows: array<u32, BLOCK>;
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        for (var j = 0u; j < BLOCK; j++) {
            rows[j] = slot_of(span, min(base + j, last - 1u)) * p.kv_stride4 + kv_head;
        }
        for (var d = 0u; d < p.head_dim4; d++) {
            let qd = q[q_at + d];
            let at = p.k_offset4 + d;
            s0 += vec4<f32>(dot(qd, k[rows[0] + at]), dot(qd, k[rows[1] + at]), dot(qd, k[rows[2] + at]), dot(qd, k[rows[3] + at]));
            s1 += vec4<f32>(dot(qd, k[rows[4] + at]), dot(qd, k[rows[5] + at]), dot(qd, k[rows[6] + at]), dot(qd, k[rows[7] + at]));
        }
        let past0 = vec4<u32>(base, base + 1u, base + 2u, base + 3u) >= vec4<u32>(last);
        let past1 = vec4<u32>(base + 4u, base + 5u, base + 6u, base + 7u) >= vec4<u32>(last);
        s0 = select(s0 * p.scale, vec4<f32>(NEVER), past0);
        s1 = select(s1 * p.scale, vec4<f32>(NEVER), past1);
        let m = max(s0, s1);
        let now = max(largest, max(max(m.x, m.y), max(m.z, m.w)));
        let keep = exp(largest - now);
        s0 = select(exp(s0 - now), vec4<f32>(), past0);
        s1 = select(exp(s1 - now), vec4<f32>(), past1);
        let both = s0 + s1;
        sum = sum * keep + (both.x + both.y) + (both.z + both.w);
        largest = now;
        for (var d = 0u; d < p.head_dim4; d++) {
            let at = p.v_offset4 + d;
            acc[d] = acc[d] * keep
                + (s0.x * v[rows[0] + at] + s0.y * v[rows[1] + at] + s0.z * v[rows[2] + at] + s0.w * v[rows[3] + at])
                + (s1.x * v[rows[4] + at] + s1.y * v[rows[5] + at] + s1.z * v[rows[6] + at] + s1.w * v[rows[7] + at]);
        }
    }
    let part = id.x * p.splits + split;
    var norm = 1.0;
    if p.splits == 1u {
        norm = 1.0 / sum;
    } else {
        stats[part] = vec2<f32>(largest, sum);
    }
    for (var d = 0u; d < p.head_dim4; d++) {
        y[part * p.head_dim4 + d] = acc[d] * norm;
    }
}
#else
// A workgroup: up to ROWS (query, head) pairs of one key head over one split; TILE slots at a time.
const LANES: u32 = 64u;
const ROWS: u32 = 8u;
const TILE: u32 = 32u;
const MAX_HEAD_DIM4: u32 = 64u;
// Dimensions of the result that one invocation sums, at most.
const DIMS: u32 = 4u;
const NOWHERE: u32 = 0xffffffffu;

var<workgroup> tile_q: array<vec4<f32>, ROWS * MAX_HEAD_DIM4>;
var<workgroup> tile_w: array<f32, ROWS * TILE>;
var<workgroup> row_span: array<vec4<u32>, ROWS>;
var<workgroup> row_max: array<f32, ROWS>;
var<workgroup> row_total: array<f32, ROWS>;
var<workgroup> row_keep: array<f32, ROWS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = tile.x * ROWS;
    let live = min(ROWS, p.queries * p.group - first_row);
    let kv_head = tile.y;
    let split = tile.z;
    let head_dim = 4u * p.head_dim4;

    for (var e = lane; e < live * p.head_dim4; e += LANES) {
        let row = first_row + e / p.head_dim4;
        let head = kv_head * p.group + row % p.group;
        tile_q[e] = q[(row / p.group) * p.q_stride4 + p.q_offset4 + head * p.head_dim4 + e % p.head_dim4];
    }
    if lane < live {
        row_span[lane] = spans[(first_row + lane) / p.group];
        row_max[lane] = NEVER;
        row_total[lane] = 0.0;
    }
    // What the rows of this tile see together. (Spans are read again rather than shared: the bounds of the loop must be
    // known to be the same for all invocations.)
    var span = vec4<u32>(NOWHERE, 0u, NOWHERE, 0u);
    for (var i = first_row / p.group; i <= (first_row + live - 1u) / p.group; i++) {
        let other = spans[i];
        // An empty range says nothing about where it would be.
        if other.x < other.y {
            span = vec4<u32>(min(span.x, other.x), max(span.y, other.y), span.z, span.w);
        }
        if other.z < other.w {
            span = vec4<u32>(span.x, span.y, min(span.z, other.z), max(span.w, other.w));
        }
    }
    span = vec4<u32>(min(span.x, span.y), span.y, min(span.z, span.w), span.w);
    let in_first = span.y - span.x;
    let total = (span.y - span.x) + (span.w - span.z);
    let length = (total + p.splits - 1u) / p.splits;
    let first = min(split * length, total);
    let last = min(first + length, total);

    var acc: array<f32, ROWS * DIMS>;
    for (var base = first; base < last; base += TILE) {
        workgroupBarrier();
        for (var e = lane; e < live * TILE; e += LANES) {
            let row = e / TILE;
            let index = base + e % TILE;
            let slot = slot_of(span, min(index, last - 1u));
            let mine = row_span[row];
            let bounds = select(mine.zw, mine.xy, index < in_first);
            let seen = index < last && slot >= bounds.x && slot < bounds.y;
            var score = NEVER;
            if seen {
                let at = slot * p.kv_stride4 + p.k_offset4 + kv_head * p.head_dim4;
                var sum = vec4<f32>();
                for (var d = 0u; d < p.head_dim4; d++) {
                    sum += tile_q[row * p.head_dim4 + d] * k[at + d];
                }
                score = p.scale * dot(sum, vec4<f32>(1.0));
            }
            tile_w[e] = score;
        }
        workgroupBarrier();
        if lane < live {
            let before = row_max[lane];
            var now = before;
            for (var j = 0u; j < TILE; j++) {
                now = max(now, tile_w[lane * TILE + j]);
            }
            let keep = exp(before - now);
            var sum = row_total[lane] * keep;
            for (var j = 0u; j < TILE; j++) {
                let score = tile_w[lane * TILE + j];
                let w = select(exp(score - now), 0.0, score == NEVER);
                tile_w[lane * TILE + j] = w;
                sum += w;
            }
            row_max[lane] = now;
            row_total[lane] = sum;
            row_keep[lane] = keep;
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) {
            let keep = select(0.0, row_keep[r], r < live);
            for (var t = 0u; t < DIMS; t++) {
                acc[r * DIMS + t] *= keep;
            }
        }
        for (var j = 0u; j < min(TILE, last - base); j++) {
            let at = 4u * (slot_of(span, base + j) * p.kv_stride4 + p.v_offset4 + kv_head * p.head_dim4);
            for (var t = 0u; t < DIMS; t++) {
                let d = t * LANES + lane;
                if d < head_dim {
                    let value = v[at + d];
                    for (var r = 0u; r < ROWS; r++) {
                        acc[r * DIMS + t] += select(0.0, tile_w[r * TILE + j], r < live) * value;
                    }
                }
            }
        }
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) {
        if r < live {
            let row = first_row + r;
            let head = kv_head * p.group + row % p.group;
            let part = ((row / p.group) * p.heads + head) * p.splits + split;
            var norm = 1.0;
            if p.splits == 1u {
                norm = 1.0 / row_total[r];
            } else if lane == 0u {
                stats[part] = vec2<f32>(row_max[r], row_total[r]);
            }
            for (var t = 0u; t < DIMS; t++) {
                let d = t * LANES + lane;
                if d < head_dim {
                    y[part * head_dim + d] = acc[r * DIMS + t] * norm;
                }
            }
        }
    }
}
#endif
