// The sum of one value per invocation over a workgroup of LANES invocations; everyone gets it. Two barriers.
var<workgroup> row_parts: array<f32, LANES>;

#if STYLE_subgroup
fn row_sum(value: f32, lane: u32, sub_lane: u32, sub: u32, subs: u32) -> f32 {
    let part = subgroupAdd(value);
    if sub_lane == 0u {
        row_parts[sub] = part;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < subs; i++) {
        total += row_parts[i];
    }
    // The next call overwrites the parts.
    workgroupBarrier();
    return total;
}
#else
fn row_sum(value: f32, lane: u32) -> f32 {
    row_parts[lane] = value;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += row_parts[i];
    }
    workgroupBarrier();
    return total;
}
#endif
