// Top-k and top-p. Part of sample.wgsl.

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
