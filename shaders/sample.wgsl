//! Chooses the next token from logits, as engine/src/session/sampler.rs does: repetition penalty, banned ids, temperature
//! (0: greedy), top-k, top-p, min-p. The draw goes through the kept ids in ascending order.
//!
//! One workgroup. Greedy reads the logits once; a draw two times more, and up to four times for top-k and for top-p.
//! Weights are summed in fixed point, so that the order of additions changes nothing. `logits` are changed on the way
//! and put back. Bound on a GPU by latency and by what one workgroup can read.
//! variants: STYLE = serial plain

struct Params {
    vocab: u32,
    // Ids to penalise and ids that are never drawn, MAX_IDS together at most. Any order; doubles count once.
    recent: u32,
    banned: u32,
    // 0 is off.
    top_k: u32,
    // Divides positive, multiplies negative logits of recent ids; 1 is off.
    penalty: f32,
    // 0 takes the likeliest token.
    inverse_temperature: f32,
    // 1 is off.
    top_p: f32,
    // 0 is off.
    min_p: f32,
    // A random number from 0 (included) to 1 (excluded).
    uniform_: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// f32 [vocab], as bits: compilers may take every float to be finite. One workgroup at a time may use them.
@group(0) @binding(1) var<storage, read_write> logits: array<u32>;
// Recent ids, then banned ids.
@group(0) @binding(2) var<storage, read> ids: array<u32>;
// Id; its log-probability under the raw logits (f32); the largest finite raw logit (f32); NOT_FINITE | NOTHING.
@group(0) @binding(3) var<storage, read_write> result: array<u32>;

// Some raw logit is not finite (it is left out).
const NOT_FINITE: u32 = 1u;
// No id can be drawn; the id is 0.
const NOTHING: u32 = 2u;

const MAX_IDS: u32 = 1024u;
#if STYLE_serial
// One vector of a software adapter, or two.
const LANES: u32 = 16u;
#else
const LANES: u32 = 256u;
#endif
// Reductions go by groups of 16 lanes or bins.
const GROUP: u32 = 16u;
const GROUPS: u32 = LANES / GROUP;
const BINS: u32 = 256u;

const NONE: u32 = 0xffffffffu;
// Stands in `logits` for one that is handled elsewhere: a NaN that no computation gives.
const SKIP: u32 = 0xffc0ba11u;

// Raw bits of the logits of special (recent and banned) ids; SKIP for entries that own none.
var<workgroup> saved: array<u32, MAX_IDS>;
var<workgroup> parts: array<vec4<u32>, LANES>;
var<workgroup> groups: array<vec4<u32>, GROUP>;
// Per lane whether it met a logit that is not finite.
var<workgroup> odds: array<u32, LANES>;
var<workgroup> bin_count: array<atomic<u32>, BINS>;
var<workgroup> bin_low: array<atomic<u32>, BINS>;
var<workgroup> bin_high: array<atomic<u32>, BINS>;
// What is kept: everything less deep than `cut`, and of what is exactly that deep the first `ties` (NONE: all).
var<workgroup> cut: u32;
var<workgroup> ties: u32;
var<workgroup> prefix: u32;
var<workgroup> wanted: vec2<u32>;
var<workgroup> done: u32;

// The largest logit after penalties.
var<private> best: f32;

// ---- Fixed point: 64 bits as (low, high), in units of 2^-44.

fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// Exact but for what is below 2^-44; x is below 2^20.
fn fixed(x: f32) -> vec2<u32> {
    let scaled = x * 4096.0;
    let high = floor(scaled);
    return vec2<u32>(u32((scaled - high) * 4294967296.0), u32(high));
}

fn float(a: vec2<u32>) -> f32 {
    return (f32(a.y) + f32(a.x) * (1.0 / 4294967296.0)) * (1.0 / 4096.0);
}

// ---- Logits

fn finite(bits: u32) -> bool {
    return (bits & 0x7f800000u) != 0x7f800000u;
}

// Special entries: banned ids first, so that an id that is both belongs to its banned entry.
fn entries() -> u32 {
    return min(p.recent + p.banned, MAX_IDS);
}

fn entry_id(entry: u32) -> u32 {
    return ids[(entry + p.recent) % (p.recent + p.banned)];
}

fn penalised(x: f32) -> f32 {
    return select(x * p.penalty, x / p.penalty, x > 0.0);
}

fn raw_logit(id: u32) -> f32 {
    for (var e = 0u; e < entries(); e++) {
        if saved[e] != SKIP && entry_id(e) == id {
            return bitcast<f32>(saved[e]);
        }
    }
    return bitcast<f32>(logits[id]);
}

// How far a logit lies below the best, in 2^-26 nats; NONE from 40 nats on, and for what is never drawn.
fn depth(id: u32) -> u32 {
    let bits = logits[id];
    let nats = (best - bitcast<f32>(bits)) * p.inverse_temperature;
    if finite(bits) && nats < 40.0 {
        return u32(nats * 67108864.0);
    }
    return NONE;
}

// The weight at a depth: 1 for the best.
fn weight(d: u32) -> f32 {
    return exp(-f32(d) * (1.0 / 67108864.0));
}

// ---- The likeliest token, and the sum that probabilities are fractions of

struct Tally {
    // Of raw logits: the largest, and the sum of e^(x - largest); 0 while there are none.
    largest: f32,
    sum: f32,
    // After penalties and bans: the largest, and its id; NONE while there is none.
    best: f32,
    id: u32,
    flags: u32,
}

fn count(tally: ptr<function, Tally>, x: f32) {
    if (*tally).sum == 0.0 {
        (*tally).largest = x;
        (*tally).sum = 1.0;
    } else if x > (*tally).largest {
        (*tally).sum = (*tally).sum * exp(max((*tally).largest - x, -100.0)) + 1.0;
        (*tally).largest = x;
    } else {
        (*tally).sum += exp(max(x - (*tally).largest, -100.0));
    }
}

fn offer(tally: ptr<function, Tally>, x: f32, id: u32) {
    if (*tally).id == NONE || x > (*tally).best || (x == (*tally).best && id < (*tally).id) {
        (*tally).best = x;
        (*tally).id = id;
    }
}

fn merge(tally: ptr<function, Tally>, part: vec4<u32>) {
    let largest = bitcast<f32>(part.x);
    let sum = bitcast<f32>(part.y);
    if sum > 0.0 {
        let now = select((*tally).largest, largest, (*tally).sum == 0.0 || largest > (*tally).largest);
        (*tally).sum = (*tally).sum * exp(max((*tally).largest - now, -100.0)) + sum * exp(max(largest - now, -100.0));
        (*tally).largest = now;
    }
    if part.w != NONE {
        offer(tally, bitcast<f32>(part.z), part.w);
    }
}

fn packed(tally: Tally) -> vec4<u32> {
    return vec4<u32>(bitcast<u32>(tally.largest), bitcast<u32>(tally.sum), bitcast<u32>(tally.best), tally.id);
}

// Takes special logits out (into `saved`), and tallies them and all others; everyone gets the whole tally.
fn tally_all(lane: u32) -> Tally {
    const EMPTY = Tally(0.0, 0.0, -3.4028234e38, NONE, 0u);
    var tally = EMPTY;
    var odd = false;
    let special = entries();
    if special > 0u {
        for (var e = lane; e < special; e += LANES) {
            let id = entry_id(e);
            var owns = id < p.vocab;
            for (var other = 0u; other < e; other++) {
                owns = owns && entry_id(other) != id;
            }
            saved[e] = SKIP;
            if owns {
                let bits = logits[id];
                logits[id] = SKIP;
                saved[e] = bits;
                if finite(bits) {
                    let x = bitcast<f32>(bits);
                    count(&tally, x);
                    if e >= p.banned && finite(bitcast<u32>(penalised(x))) {
                        offer(&tally, penalised(x), id);
                    }
                } else {
                    odd = true;
                }
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
    for (var id = lane; id < p.vocab; id += LANES) {
        let bits = logits[id];
        if finite(bits) {
            let x = bitcast<f32>(bits);
            count(&tally, x);
            offer(&tally, x, id);
        } else if bits != SKIP {
            odd = true;
        }
    }
    parts[lane] = packed(tally);
    odds[lane] = select(0u, NOT_FINITE, odd);
    workgroupBarrier();
    if lane < GROUPS {
        tally = EMPTY;
        for (var i = 0u; i < GROUP; i++) {
            merge(&tally, parts[lane * GROUP + i]);
        }
        parts[lane * GROUP] = packed(tally);
        for (var i = 1u; i < GROUP; i++) {
            odds[lane * GROUP] |= odds[lane * GROUP + i];
        }
    }
    workgroupBarrier();
    tally = EMPTY;
    for (var i = 0u; i < GROUPS; i++) {
        merge(&tally, parts[i * GROUP]);
        tally.flags |= odds[i * GROUP];
    }
    return tally;
}

// ---- Top-k and top-p

// Moves `cut` and `ties` to where the kept ids, likeliest first, reach the wanted amount: top_k ids, or top_p of the
// weight. Finds the depth eight bits at a time, each by a histogram.
fn narrow(lane: u32, by_weight: bool) {
    if lane == 0u {
        prefix = 0u;
        wanted = vec2<u32>(p.top_k, 0u);
    }
    for (var level = 0u; level < 4u; level++) {
        let shift = 24u - 8u * level;
        for (var b = lane; b < BINS; b += LANES) {
            atomicStore(&bin_count[b], 0u);
            atomicStore(&bin_low[b], 0u);
            atomicStore(&bin_high[b], 0u);
        }
        workgroupBarrier();
        let deepest = cut;
        let all_ties = ties == NONE;
        let above = prefix;
        for (var id = lane; id < p.vocab; id += LANES) {
            let d = depth(id);
            let kept = d < deepest || (d == deepest && all_ties);
            if kept && (level == 0u || (d >> (shift + 8u)) == above) {
                let b = (d >> shift) & 255u;
                atomicAdd(&bin_count[b], 1u);
                if by_weight {
                    add_to_bin(b, fixed(weight(d)));
                }
            }
        }
        if lane == 0u && by_weight && !all_ties && (level == 0u || (deepest >> (shift + 8u)) == above) {
            let b = (deepest >> shift) & 255u;
            atomicAdd(&bin_count[b], ties);
            add_to_bin(b, fixed(weight(deepest) * f32(ties)));
        }
        workgroupBarrier();
        if lane < GROUP {
            var sum = vec2<u32>();
            for (var i = 0u; i < GROUP; i++) {
                sum = add(sum, bin(lane * GROUP + i, by_weight));
            }
            groups[lane] = vec4<u32>(sum, 0u, 0u);
        }
        workgroupBarrier();
        if lane == 0u {
            step(shift, by_weight);
        }
        if workgroupUniformLoad(&done) != 0u {
            break;
        }
    }
}

fn add_to_bin(b: u32, q: vec2<u32>) {
    let before = atomicAdd(&bin_low[b], q.x);
    let high = q.y + select(0u, 1u, before + q.x < before);
    if high > 0u {
        atomicAdd(&bin_high[b], high);
    }
}

// What a bin holds: weight or ids.
fn bin(b: u32, by_weight: bool) -> vec2<u32> {
    if by_weight {
        return vec2<u32>(atomicLoad(&bin_low[b]), atomicLoad(&bin_high[b]));
    }
    return vec2<u32>(atomicLoad(&bin_count[b]), 0u);
}

// One invocation: goes on to the bin in which the wanted amount is reached.
fn step(shift: u32, by_weight: bool) {
    if shift == 24u && by_weight {
        var total = vec2<u32>();
        for (var g = 0u; g < GROUP; g++) {
            total = add(total, groups[g].xy);
        }
        wanted = max(fixed(p.top_p * float(total)), vec2<u32>(1u, 0u));
    }
    done = 1u;
    var g = 0u;
    while g < GROUP && less(groups[g].xy, wanted) {
        wanted = sub(wanted, groups[g].xy);
        g++;
    }
    if g == GROUP {
        // There is no more than that.
        return;
    }
    var b = g * GROUP;
    while b < BINS - 1u && less(bin(b, by_weight), wanted) {
        wanted = sub(wanted, bin(b, by_weight));
        b++;
    }
    prefix = (prefix << 8u) | b;
    let held = atomicLoad(&bin_count[b]);
    let whole = select(held == wanted.x, held == 1u, by_weight);
    if whole {
        // All of the bin is kept; what lies deeper is not.
        let end = (prefix << shift) | ((1u << shift) - 1u);
        if end < cut {
            cut = end;
            ties = NONE;
        }
    } else if shift == 0u {
        cut = prefix;
        ties = wanted.x;
        if by_weight {
            ties = clamp(u32(ceil(float(wanted) / weight(prefix))), 1u, held);
        }
    } else {
        done = 0u;
    }
}

// ---- The draw

// A walk through parts until the weight `left` is used up.
struct Walk {
    left: vec2<u32>,
    // Ties that may still be kept.
    ties: u32,
    // The part last entered that holds anything, and what was left there. A walk that rounding lets run past the end
    // ends in it.
    place: u32,
    left_there: vec2<u32>,
    ties_there: u32,
}

// One step, over a part of some weight and some ties; true when the walk ends in it.
fn walk_over(walk: ptr<function, Walk>, part: vec4<u32>, place: u32) -> bool {
    let taken = min(part.z, (*walk).ties);
    let q = add(part.xy, fixed(weight(cut) * f32(taken)));
    if q.x != 0u || q.y != 0u {
        (*walk).place = place;
        (*walk).left_there = (*walk).left;
        (*walk).ties_there = (*walk).ties;
    }
    if less((*walk).left, q) {
        return true;
    }
    (*walk).left = sub((*walk).left, q);
    (*walk).ties -= taken;
    return false;
}

fn kept(d: u32, all: bool) -> bool {
    return d < cut || (d == cut && all);
}

// The id that the random number falls on, known to one invocation; NONE for the others. `*none` says there is none.
fn draw(lane: u32, none: ptr<function, bool>) -> u32 {
    let chunk = (p.vocab + LANES - 1u) / LANES;
    let first = min(lane * chunk, p.vocab);
    let end = min(first + chunk, p.vocab);
    let all = ties == NONE;
    var sum = vec2<u32>();
    var tied = 0u;
    for (var id = first; id < end; id++) {
        let d = depth(id);
        let w = weight(d);
        if d <= cut && w >= p.min_p {
            if kept(d, all) {
                sum = add(sum, fixed(w));
            } else {
                tied++;
            }
        }
    }
    parts[lane] = vec4<u32>(sum, tied, 0u);
    workgroupBarrier();
    if lane < GROUPS {
        sum = vec2<u32>();
        tied = 0u;
        for (var i = 0u; i < GROUP; i++) {
            let part = parts[lane * GROUP + i];
            sum = add(sum, part.xy);
            tied += part.z;
        }
        groups[lane] = vec4<u32>(sum, tied, 0u);
    }
    workgroupBarrier();

    sum = vec2<u32>();
    tied = 0u;
    for (var g = 0u; g < GROUPS; g++) {
        sum = add(sum, groups[g].xy);
        tied += groups[g].z;
    }
    sum = add(sum, fixed(weight(cut) * f32(min(tied, ties))));
    *none = sum.x == 0u && sum.y == 0u;

    // Everyone walks to the invocation whose ids hold the drawn one.
    let left = fixed(p.uniform_ * float(sum));
    var walk = Walk(left, ties, 0u, left, ties);
    for (var g = 0u; g < GROUPS; g++) {
        if walk_over(&walk, groups[g], g) {
            break;
        }
    }
    let start = walk.place * GROUP;
    walk = Walk(walk.left_there, walk.ties_there, start, walk.left_there, walk.ties_there);
    for (var i = start; i < start + GROUP; i++) {
        if walk_over(&walk, parts[i], i) {
            break;
        }
    }
    if lane != walk.place || *none {
        return NONE;
    }
    var choice = NONE;
    var rest = walk.left_there;
    var ties_left = walk.ties_there;
    for (var id = first; id < end; id++) {
        let d = depth(id);
        let w = weight(d);
        if d <= cut && w >= p.min_p {
            var takes = true;
            if !kept(d, all) {
                takes = ties_left > 0u;
                ties_left -= select(0u, 1u, takes);
            }
            let q = fixed(w);
            if takes && (q.x != 0u || q.y != 0u) {
                choice = id;
                if less(rest, q) {
                    break;
                }
                rest = sub(rest, q);
            }
        }
    }
    return choice;
}

fn finish(id: u32, tally: Tally) {
    result[0] = id;
    result[1] = bitcast<u32>(raw_logit(id) - tally.largest - log(tally.sum));
    result[2] = bitcast<u32>(tally.largest);
    result[3] = tally.flags;
}

fn finish_without(tally: Tally) {
    result[0] = 0u;
    result[1] = 0u;
    result[2] = bitcast<u32>(tally.largest);
    result[3] = tally.flags | NOTHING;
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
    let special = entries();
    let tally = tally_all(lane);
    if p.inverse_temperature == 0.0 {
        if lane == 0u {
            if tally.id == NONE {
                finish_without(tally);
            } else {
                finish(tally.id, tally);
            }
        }
    } else {
        best = tally.best;
        for (var e = lane; e < special; e += LANES) {
            if e >= p.banned && saved[e] != SKIP && finite(saved[e]) {
                logits[entry_id(e)] = bitcast<u32>(penalised(bitcast<f32>(saved[e])));
            }
        }
        if lane == 0u {
            cut = NONE - 1u;
            ties = NONE;
        }
        storageBarrier();
        workgroupBarrier();
        if p.top_k > 0u {
            narrow(lane, false);
        }
        if p.top_p < 1.0 {
            narrow(lane, true);
        }
        var none = false;
        let id = draw(lane, &none);
        if id != NONE {
            finish(id, tally);
        } else if none && lane == 0u {
            finish_without(tally);
        }
    }
    if special > 0u {
        storageBarrier();
        workgroupBarrier();
        for (var e = lane; e < special; e += LANES) {
            if saved[e] != SKIP {
                logits[entry_id(e)] = saved[e];
            }
        }
    }
}
