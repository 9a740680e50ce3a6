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

#import fixed_point

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

#import sample_tally
#import sample_narrow
#import sample_draw

fn finish(id: u32, tally: Tally) {
    result[0] = id;
    result[1] = bitcast<u32>(raw_logit(id) - tally.largest - log(tally.sum));
    result[2] = bitcast<u32>(tally.largest);
    result[3] = tally.flags;
}

fn finish_without(tally: Tally) {
    result[0] = 0u;
    result[1] = 0u;
    result[2] = select(0u, bitcast<u32>(tally.largest), tally.sum > 0.0);
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
