// The matrix of a mat_vec on a software adapter, in steps along its rows: a group of four values, or a block of 32
// quantised ones, whose scale is read once. What a step needs of x is prepared once and serves several rows.
//
// Operations count there, and how long the loop is. SwiftShader's compiler keeps every value in memory, so that each
// operation loads and stores; and a loop that outgrows the processor's first cache (32 KB) takes half as long again. So
// quantised words are i32, which become f32 in one operation, four to a load; quants stay at their places in the word,
// and x is divided by what the places are worth.
#if WEIGHT_f16 || WEIGHT_q8_0 || WEIGHT_q4_0
const SIGN: i32 = i32(-2147483648);

// A finite f16, of weights or scales: `bits` has its exponent and fraction where an f32 has them. Exact, and half of what
// SwiftShader makes of unpack2x16float, which also takes infinities (checkpoints hold none).
fn half(bits: i32, sign: i32) -> f32 {
    let h = bitcast<f32>((bits & 0x0fffe000) + 0x38000000);
    // Below 2^-14 a half has no leading 1: h = 2^-15 (1 + f) there stands for 2h - 2^-14, which is less; elsewhere h is.
    return bitcast<f32>(bitcast<i32>(min(h, h + h - 0.00006103515625)) | sign);
}
#endif

#if WEIGHT_f32
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;

fn values(group: u32) -> vec4<f32> {
    return weights[group];
}
#elif WEIGHT_f16
@group(0) @binding(1) var<storage, read> weights: array<vec2<i32>>;

fn values(group: u32) -> vec4<f32> {
    let w = weights[group];
    let a = w.x * 0x2000;
    let b = w.y * 0x2000;
    return vec4<f32>(
        half(a, (a & 0x10000000) * 8),
        half(w.x >> 3u, w.x & SIGN),
        half(b, (b & 0x10000000) * 8),
        half(w.y >> 3u, w.y & SIGN),
    );
}
#elif WEIGHT_bf16
@group(0) @binding(1) var<storage, read> weights: array<vec2<u32>>;

// A bf16 is the upper half of an f32.
fn values(group: u32) -> vec4<f32> {
    let w = weights[group];
    return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}
#else
@group(0) @binding(1) var<storage, read> weights: array<vec4<i32>>;

fn scale_of_block(block: u32) -> f32 {
    let word = p.scales + (block >> 1u);
    let bits = weights[word >> 2u][word & 3u] << (16u - 16u * (block & 1u));
    return half(bits >> 3u, bits & SIGN);
}
#endif

#if WEIGHT_f32 || WEIGHT_f16 || WEIGHT_bf16
fn steps() -> u32 {
    return p.k4;
}

fn step_of_x(step: u32, share: u32) -> vec4<f32> {
    return x[step];
}

fn step_dot(step: u32, v: vec4<f32>) -> f32 {
    return dot(values(step), v);
}
#else
fn steps() -> u32 {
    return p.k4 >> 3u;
}

// 32 values of x over the places of their quants. Columns are groups of four.
struct Step {
    first: mat4x4<f32>,
    second: mat4x4<f32>,
    // What the quants say too much: all but the topmost of a word are stored with `MORE` added.
    more: f32,
}

// Group `i` of a block, over its places.
fn placed(i: u32, v: vec4<f32>) -> vec4<f32> {
#if WEIGHT_q8_0
    return v * vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);
#else
    const LOW = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
    const HIGH = vec4<f32>(0.0000152587890625, 9.5367431640625e-7, 5.9604644775390625e-8, 3.7252902984619141e-9);
    return v * select(LOW, HIGH, (i & 1u) == 1u);
#endif
}

fn too_much(i: u32, v: vec4<f32>) -> f32 {
#if WEIGHT_q8_0
    const MORE = 128.0;
    return MORE * (v.x + v.y + v.z);
#else
    const MORE = 8.0;
    return MORE * (v.x + v.y + v.z + select(v.w, 0.0, (i & 1u) == 1u));
#endif
}

#if STYLE_broadcast
// A group from each of four lanes.
fn spread(v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        subgroupBroadcast(v, 0u),
        subgroupBroadcast(v, 1u),
        subgroupBroadcast(v, 2u),
        subgroupBroadcast(v, 3u),
    );
}

// Each of four lanes loads two groups, number `share` and `share` + 4.
fn step_of_x(step: u32, share: u32) -> Step {
    let a = x[8u * step + share];
    let b = x[8u * step + share + 4u];
    let more = too_much(share, a) + too_much(share, b);
    let low = subgroupBroadcast(more, 0u) + subgroupBroadcast(more, 1u);
    let high = subgroupBroadcast(more, 2u) + subgroupBroadcast(more, 3u);
    return Step(spread(placed(share, a)), spread(placed(share, b)), low + high);
}
#else
fn step_of_x(step: u32, share: u32) -> Step {
    let at = 8u * step;
    let a = mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let b = mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
    let more = too_much(0u, (a[0] + a[2]) + (b[0] + b[2])) + too_much(1u, (a[1] + a[3]) + (b[1] + b[3]));
    return Step(
        mat4x4<f32>(placed(0u, a[0]), placed(1u, a[1]), placed(0u, a[2]), placed(1u, a[3])),
        mat4x4<f32>(placed(0u, b[0]), placed(1u, b[1]), placed(0u, b[2]), placed(1u, b[3])),
        more,
    );
}
#endif

#if WEIGHT_q8_0
// The bytes of `word` are signed; all but the topmost lose their sign by having 128 added.
fn word_dot(word: i32, v: vec4<f32>) -> f32 {
    let w = word ^ 0x808080;
    return f32(w & 0xff) * v.x + f32(w & 0xff00) * v.y + (f32(w & 0xff0000) * v.z + f32(w & i32(-0x1000000)) * v.w);
}

fn step_dot(step: u32, v: Step) -> f32 {
    let a = weights[2u * step];
    let b = weights[2u * step + 1u];
    var sum = word_dot(a.x, v.first[0]);
    sum += word_dot(a.y, v.first[1]);
    sum += word_dot(a.z, v.first[2]);
    sum += word_dot(a.w, v.first[3]);
    sum += word_dot(b.x, v.second[0]);
    sum += word_dot(b.y, v.second[1]);
    sum += word_dot(b.z, v.second[2]);
    sum += word_dot(b.w, v.second[3]);
    return scale_of_block(step) * (sum - v.more);
}
#else
// The topmost four bits lose the 8 that is added to them, and become signed.
fn word_dot(word: i32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    let w = word ^ i32(-0x80000000);
    let low = f32(w & 0xf) * a.x + f32(w & 0xf0) * a.y + f32(w & 0xf00) * a.z + f32(w & 0xf000) * a.w;
    let high = f32(w & 0xf0000) * b.x + f32(w & 0xf00000) * b.y + f32(w & 0xf000000) * b.z;
    return low + (high + f32(w & i32(-0x10000000)) * b.w);
}

fn step_dot(step: u32, v: Step) -> f32 {
    let w = weights[step];
    var sum = word_dot(w.x, v.first[0], v.first[1]);
    sum += word_dot(w.y, v.first[2], v.first[3]);
    sum += word_dot(w.z, v.second[0], v.second[1]);
    sum += word_dot(w.w, v.second[2], v.second[3]);
    return scale_of_block(step) * (sum - v.more);
}
#endif
#endif
