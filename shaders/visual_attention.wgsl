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
const NOWHERE: u32 = 0xffffffffu;

// The v-th slot of a span.
fn slot_of(span: vec4<u32>, index: u32) -> u32 {
    let first = span.y - span.x;
    return select(span.z + (index - first), span.x + index, index < first);
}

#if STYLE_serial
// Software adapters pay for every load of every lane and share nothing: an invocation takes a tile of ROWS (query, head)
// pairs, so that each load of K and V serves four, and CHUNK slots at a time, whose weights it keeps.
const LANES: u32 = 8u;
const ROWS: u32 = 4u;
const CHUNK: u32 = 64u;
const MAX_HEAD_DIM4: u32 = 64u;

// Where row `row` of key head `kv_head` has its query.
fn query_at(row: u32, kv_head: u32) -> u32 {
    let head = kv_head * p.group + row % p.group;
    return (row / p.group) * p.q_stride4 + p.q_offset4 + head * p.head_dim4;
}

// Which of four rows see the slot `slot`, in their first or second ranges.
fn seen(slot: u32, from0: vec4<u32>, to0: vec4<u32>) -> vec4<bool> {
    return (vec4<u32>(slot) >= from0) & (vec4<u32>(slot) < to0);
}

// Adds to what a row has of this group of four dimensions, or begins it.
fn add(row: u32, live: u32, at: u32, keep: f32, begins: bool, value: vec4<f32>) {
    if row < live {
        if begins {
            y[at] = value;
        } else {
            y[at] = y[at] * keep + value;
        }
    }
}

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // Invocations count splits first, then key heads, then tiles: all lanes have work even for one query.
    let rows = p.queries * p.group;
    let kv_heads = p.heads / p.group;
    let split = id.x % p.splits;
    let kv_head = (id.x / p.splits) % kv_heads;
    let first_row = (id.x / (p.splits * kv_heads)) * ROWS;
    if first_row >= rows {
        return;
    }
    let live = min(ROWS, rows - first_row);
    let kv_at = kv_head * p.head_dim4;
    // Rows past the end repeat the last; what they find is dropped.
    let r0 = min(first_row + 0u, rows - 1u);
    let q0 = query_at(r0, kv_head);
    let s0 = spans[r0 / p.group];
    let r1 = min(first_row + 1u, rows - 1u);
    let q1 = query_at(r1, kv_head);
    let s1 = spans[r1 / p.group];
    let r2 = min(first_row + 2u, rows - 1u);
    let q2 = query_at(r2, kv_head);
    let s2 = spans[r2 / p.group];
    let r3 = min(first_row + 3u, rows - 1u);
    let q3 = query_at(r3, kv_head);
    let s3 = spans[r3 / p.group];
    // What the rows see together; an empty range says nothing about where it would be.
    var span = vec4<u32>(NOWHERE, 0u, NOWHERE, 0u);
    for (var i = r0 / p.group; i <= r3 / p.group; i++) {
        let other = spans[i];
        if other.x < other.y {
            span = vec4<u32>(min(span.x, other.x), max(span.y, other.y), span.z, span.w);
        }
        if other.z < other.w {
            span = vec4<u32>(span.x, span.y, min(span.z, other.z), max(span.w, other.w));
        }
    }
    span = vec4<u32>(min(span.x, span.y), span.y, min(span.z, span.w), span.w);
    let in_first = span.y - span.x;
    let total = in_first + (span.w - span.z);
    let length = (total + p.splits - 1u) / p.splits;
    let first = min(split * length, total);
    let last = min(first + length, total);
    let from0 = vec4<u32>(s0.x, s1.x, s2.x, s3.x);
    let to0 = vec4<u32>(s0.y, s1.y, s2.y, s3.y);
    let from1 = vec4<u32>(s0.z, s1.z, s2.z, s3.z);
    let to1 = vec4<u32>(s0.w, s1.w, s2.w, s3.w);
    let part0 = ((r0 / p.group) * p.heads + kv_head * p.group + r0 % p.group) * p.splits + split;
    let part1 = ((r1 / p.group) * p.heads + kv_head * p.group + r1 % p.group) * p.splits + split;
    let part2 = ((r2 / p.group) * p.heads + kv_head * p.group + r2 % p.group) * p.splits + split;
    let part3 = ((r3 / p.group) * p.heads + kv_head * p.group + r3 % p.group) * p.splits + split;

    // One weight for each of the four rows.
    var weights: array<vec4<f32>, CHUNK>;
    var largest = vec4<f32>(NEVER);
    var sum = vec4<f32>();
    for (var base = first; base < last; base += CHUNK) {
        let count = min(CHUNK, last - base);
        var now = largest;
        for (var j = 0u; j < count; j += 4u) {
            let i0 = base + min(j + 0u, count - 1u);
            let slot0 = slot_of(span, i0);
            let k0 = slot0 * p.kv_stride4 + p.k_offset4 + kv_at;
            var t0 = vec4<f32>();
            let i1 = base + min(j + 1u, count - 1u);
            let slot1 = slot_of(span, i1);
            let k1 = slot1 * p.kv_stride4 + p.k_offset4 + kv_at;
            var t1 = vec4<f32>();
            let i2 = base + min(j + 2u, count - 1u);
            let slot2 = slot_of(span, i2);
            let k2 = slot2 * p.kv_stride4 + p.k_offset4 + kv_at;
            var t2 = vec4<f32>();
            let i3 = base + min(j + 3u, count - 1u);
            let slot3 = slot_of(span, i3);
            let k3 = slot3 * p.kv_stride4 + p.k_offset4 + kv_at;
            var t3 = vec4<f32>();
            for (var d = 0u; d < p.head_dim4; d++) {
                let a = q[q0 + d];
                let b = q[q1 + d];
                let c = q[q2 + d];
                let e = q[q3 + d];
                let key0 = k[k0 + d];
                t0 += vec4<f32>(dot(a, key0), dot(b, key0), dot(c, key0), dot(e, key0));
                let key1 = k[k1 + d];
                t1 += vec4<f32>(dot(a, key1), dot(b, key1), dot(c, key1), dot(e, key1));
                let key2 = k[k2 + d];
                t2 += vec4<f32>(dot(a, key2), dot(b, key2), dot(c, key2), dot(e, key2));
                let key3 = k[k3 + d];
                t3 += vec4<f32>(dot(a, key3), dot(b, key3), dot(c, key3), dot(e, key3));
            }
            if j + 0u < count {
                let bounds = select(seen(slot0, from1, to1), seen(slot0, from0, to0), i0 < in_first);
                let score = select(vec4<f32>(NEVER), t0 * p.scale, bounds);
                weights[j + 0u] = score;
                now = max(now, score);
            }
            if j + 1u < count {
                let bounds = select(seen(slot1, from1, to1), seen(slot1, from0, to0), i1 < in_first);
                let score = select(vec4<f32>(NEVER), t1 * p.scale, bounds);
                weights[j + 1u] = score;
                now = max(now, score);
            }
            if j + 2u < count {
                let bounds = select(seen(slot2, from1, to1), seen(slot2, from0, to0), i2 < in_first);
                let score = select(vec4<f32>(NEVER), t2 * p.scale, bounds);
                weights[j + 2u] = score;
                now = max(now, score);
            }
            if j + 3u < count {
                let bounds = select(seen(slot3, from1, to1), seen(slot3, from0, to0), i3 < in_first);
                let score = select(vec4<f32>(NEVER), t3 * p.scale, bounds);
                weights[j + 3u] = score;
                now = max(now, score);
            }
        }
        let keep = exp(largest - now);
        sum *= keep;
        for (var j = 0u; j < count; j++) {
            let score = weights[j];
            let weight = select(exp(score - now), vec4<f32>(), score == vec4<f32>(NEVER));
            weights[j] = weight;
            sum += weight;
        }
        largest = now;
        let begins = base == first;
        for (var d = 0u; d < p.head_dim4; d += 2u) {
            let next = min(d + 1u, p.head_dim4 - 1u);
            let at = p.v_offset4 + kv_at;
            var a0 = vec4<f32>();
            var b0 = vec4<f32>();
            var a1 = vec4<f32>();
            var b1 = vec4<f32>();
            var a2 = vec4<f32>();
            var b2 = vec4<f32>();
            var a3 = vec4<f32>();
            var b3 = vec4<f32>();
            for (var j = 0u; j < count; j++) {
                let row = slot_of(span, base + j) * p.kv_stride4 + at;
                let w = weights[j];
                let one = v[row + d];
                let two = v[row + next];
                a0 += w.x * one;
                b0 += w.x * two;
                a1 += w.y * one;
                b1 += w.y * two;
                a2 += w.z * one;
                b2 += w.z * two;
                a3 += w.w * one;
                b3 += w.w * two;
            }
            add(0u, live, part0 * p.head_dim4 + d, keep.x, begins, a0);
            add(1u, live, part1 * p.head_dim4 + d, keep.y, begins, a1);
            add(2u, live, part2 * p.head_dim4 + d, keep.z, begins, a2);
            add(3u, live, part3 * p.head_dim4 + d, keep.w, begins, a3);
            if next > d {
                add(0u, live, part0 * p.head_dim4 + next, keep.x, begins, b0);
                add(1u, live, part1 * p.head_dim4 + next, keep.y, begins, b1);
                add(2u, live, part2 * p.head_dim4 + next, keep.z, begins, b2);
                add(3u, live, part3 * p.head_dim4 + next, keep.w, begins, b3);
            }
        }
    }
    if 0u < live {
        end(part0, largest.x, sum.x, first >= last);
    }
    if 1u < live {
        end(part1, largest.y, sum.y, first >= last);
    }
    if 2u < live {
        end(part2, largest.z, sum.z, first >= last);
    }
    if 3u < live {
        end(part3, largest.w, sum.w, first >= last);
    }
}

// Normalises a row, or says what its split found.
fn end(part: u32, largest: f32, sum: f32, nothing: bool) {
    if p.splits > 1u {
        stats[part] = vec2<f32>(largest, sum);
    }
    for (var d = 0u; d < p.head_dim4; d++) {
        let at = part * p.head_dim4 + d;
        if nothing {
            y[at] = vec4<f32>();
        } else if p.splits == 1u {
            y[at] /= sum;
        }
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
