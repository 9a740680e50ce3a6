// The draw. Part of sample.wgsl.

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
