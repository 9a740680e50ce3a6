// The matrix of a linear layer or an embedding table, in groups of four consecutive values of a row.
// Layouts of the quantised forms: crate documentation of folio-shaders.
#if WEIGHT_f32
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;

fn weight4(group: u32) -> vec4<f32> {
    return weights[group];
}
#elif WEIGHT_f16
@group(0) @binding(1) var<storage, read> weights: array<vec2<u32>>;

fn weight4(group: u32) -> vec4<f32> {
    let w = weights[group];
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
#elif WEIGHT_bf16
@group(0) @binding(1) var<storage, read> weights: array<vec2<u32>>;

// A bf16 is the upper half of an f32.
fn weight4(group: u32) -> vec4<f32> {
    let w = weights[group];
    return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}
#else
@group(0) @binding(1) var<storage, read> weights: array<u32>;

// The scale of a block of 32 values: eight groups.
fn block_scale(group: u32) -> f32 {
    let block = group >> 3u;
    let pair = unpack2x16float(weights[p.scales + (block >> 1u)]);
    return select(pair.x, pair.y, (block & 1u) == 1u);
}

#if WEIGHT_q8_0
fn weight4(group: u32) -> vec4<f32> {
    let w = bitcast<i32>(weights[group]);
    let q = vec4<i32>(extractBits(w, 0u, 8u), extractBits(w, 8u, 8u), extractBits(w, 16u, 8u), extractBits(w, 24u, 8u));
    return block_scale(group) * vec4<f32>(q);
}
#else
fn weight4(group: u32) -> vec4<f32> {
    let w = weights[group >> 1u] >> ((group & 1u) * 16u);
    let q = vec4<u32>(w & 15u, (w >> 4u) & 15u, (w >> 8u) & 15u, (w >> 12u) & 15u);
    return block_scale(group) * (vec4<f32>(q) - 8.0);
}
#endif
#endif
