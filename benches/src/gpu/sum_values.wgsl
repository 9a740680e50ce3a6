// What reading and unpacking the weights costs at least: adds up every weight of a buffer as a number (f16 and bf16 widened,
// quants times the scale of their block). The host puts values for LANES, PATTERN and WEIGHT in front.

struct Params {
    // A unit is what shares one word of scales: 64 quantised weights; of f16 and bf16 it is 32 weights. `each` of them an invocation.
    units: u32,
    each: u32,
    invocations: u32,
    // Word at which the scales of quantised weights begin.
    scales: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<vec4<u32>>;
// The same buffer again.
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

// Two words of f16 pairs.
fn halves(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
}

// Four signed bytes times 2^24, as the products unpack them.
fn bytes(word: u32) -> vec4<f32> {
    let top = vec4<u32>(word) * vec4<u32>(0x1000000u, 0x10000u, 0x100u, 1u);
    return vec4<f32>(bitcast<vec4<i32>>(top & vec4<u32>(0xff000000u)));
}

// Four nibbles, each at its own place.
fn nibbles(half_word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(half_word) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)));
}

fn group_f16(w: vec4<u32>) -> vec4<f32> {
    return halves(w.x, w.y) + halves(w.z, w.w);
}

fn group_bf16(w: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(w << vec4<u32>(16u)) + bitcast<vec4<f32>>(w & vec4<u32>(0xffff0000u));
}

fn group_q8_0(w: vec4<u32>) -> vec4<f32> {
    return (bytes(w.x) + bytes(w.y)) + (bytes(w.z) + bytes(w.w));
}

fn group_q4_0(w: vec4<u32>) -> vec4<f32> {
    return ((nibbles(w.x) + nibbles(w.x >> 16u)) + (nibbles(w.y) + nibbles(w.y >> 16u)))
        + ((nibbles(w.z) + nibbles(w.z >> 16u)) + (nibbles(w.w) + nibbles(w.w >> 16u)));
}

fn unit(at: u32) -> vec4<f32> {
    if WEIGHT == 1u {
        return (group_f16(words[4u * at]) + group_f16(words[4u * at + 1u]))
            + (group_f16(words[4u * at + 2u]) + group_f16(words[4u * at + 3u]));
    }
    if WEIGHT == 4u {
        return (group_bf16(words[4u * at]) + group_bf16(words[4u * at + 1u]))
            + (group_bf16(words[4u * at + 2u]) + group_bf16(words[4u * at + 3u]));
    }
    let scale = unpack2x16float(scales[p.scales + at]);
    if WEIGHT == 2u {
        let first = group_q8_0(words[4u * at]) + group_q8_0(words[4u * at + 1u]);
        let second = group_q8_0(words[4u * at + 2u]) + group_q8_0(words[4u * at + 3u]);
        return 5.9604644775390625e-8 * (scale.x * first + scale.y * second);
    }
    const PLACES: vec4<f32> = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
    // 32 weights, each stored with 8 added: 64 less in each lane.
    let first = PLACES * group_q4_0(words[2u * at]) - 64.0;
    let second = PLACES * group_q4_0(words[2u * at + 1u]) - 64.0;
    return scale.x * first + scale.y * second;
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if id.x >= p.invocations {
        return;
    }
    var first = id.x * p.each;
    var step = 1u;
    if PATTERN == 1u {
        first = id.x;
        step = p.invocations;
    } else if PATTERN == 2u {
        first = group.x * LANES * p.each + lane;
        step = LANES;
    }
    var a = vec4<f32>();
    var b = vec4<f32>();
    for (var i = 0u; i < p.each; i += 2u) {
        let at = first + i * step;
        // Where the parts do not divide the buffer, the last unit is read again rather than what lies behind it.
        a += unit(min(at, p.units - 1u));
        b += unit(min(at + step, p.units - 1u));
    }
    sums[id.x] = dot(a + b, vec4<f32>(1.0));
}
