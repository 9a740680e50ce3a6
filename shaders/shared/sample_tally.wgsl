// The likeliest token, and the sum that probabilities are fractions of. Part of sample.wgsl.

// Below every logit that is counted.
const LOWEST: f32 = -3.4028234e38;

struct Tally {
    // Of raw logits: the largest, and the sum of e^(x - largest); 0 while there are none.
    largest: f32,
    sum: f32,
    // After penalties and bans: the largest, and its id; NONE while there is none.
    best: f32,
    id: u32,
    flags: u32,
}

// Counts up to four logits: LOWEST stands for none.
fn count(tally: ptr<function, Tally>, x: vec4<f32>, largest: f32) {
    let now = max((*tally).largest, largest);
    // Differences of huge numbers may overflow; what is 100 nats down is nothing anyway.
    let weights = exp(max(x - now, vec4<f32>(-100.0)));
    let sum = (weights.x + weights.y) + (weights.z + weights.w);
    (*tally).sum = (*tally).sum * exp(max((*tally).largest - now, -100.0)) + sum;
    (*tally).largest = now;
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
        let now = max((*tally).largest, largest);
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
    const EMPTY = Tally(LOWEST, 0.0, LOWEST, NONE, 0u);
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
                    count(&tally, vec4<f32>(x, LOWEST, LOWEST, LOWEST), x);
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
    // Four at a time: their loads wait together.
    for (var id = lane; id < p.vocab; id += 4u * LANES) {
        let all = id + LANES * vec4<u32>(0u, 1u, 2u, 3u);
        let there = all < vec4<u32>(p.vocab);
        let at = select(vec4<u32>(id), all, there);
        let bits = vec4<u32>(logits[id], logits[at.y], logits[at.z], logits[at.w]);
        let fine = (bits & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
        odd = odd || any(!fine & (bits != vec4<u32>(SKIP)));
        let x = select(vec4<f32>(LOWEST), bitcast<vec4<f32>>(bits), fine & there);
        let largest = max(max(x.x, x.y), max(x.z, x.w));
        if any(fine & there) {
            count(&tally, x, largest);
            if tally.id == NONE || largest >= tally.best {
                for (var i = 0u; i < 4u; i++) {
                    if fine[i] && there[i] {
                        offer(&tally, x[i], all[i]);
                    }
                }
            }
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
