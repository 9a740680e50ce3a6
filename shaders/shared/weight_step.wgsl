// The matrix in steps along its rows, for kernels that use one step of x for several rows: a group of four values, or a
// block of 32 quantised ones, whose scale is then read once.
#if WEIGHT_f32 || WEIGHT_f16
fn steps() -> u32 {
    return p.k4;
}

fn step_of_x(step: u32) -> vec4<f32> {
    return x[step];
}

fn step_dot(step: u32, v: vec4<f32>) -> f32 {
    return dot(weight4(step), v);
}
#else
fn steps() -> u32 {
    return p.k4 >> 3u;
}

// 32 values of x. Columns are groups of four.
struct Step {
    first: mat4x4<f32>,
    second: mat4x4<f32>,
#if WEIGHT_q4_0
    // Eight times their sum: the quants are stored with 8 added.
    less: f32,
#endif
}

fn scale_of_block(block: u32) -> f32 {
    let pair = unpack2x16float(weights[p.scales + (block >> 1u)]);
    return select(pair.x, pair.y, (block & 1u) == 1u);
}

#if WEIGHT_q8_0
fn step_of_x(step: u32) -> Step {
    let at = 8u * step;
    return Step(
        mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]),
        mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]),
    );
}

// Four quants · 2^24. Each is moved to the top of a word, where its sign is the word's: shifting down again would cost
// more, and products with powers of two are shifts wherever that is quicker.
fn quants(word: u32) -> vec4<f32> {
    let top = vec4<u32>(word) * vec4<u32>(0x1000000u, 0x10000u, 0x100u, 1u);
    return vec4<f32>(bitcast<vec4<i32>>(top & vec4<u32>(0xff000000u)));
}

fn step_dot(step: u32, v: Step) -> f32 {
    let at = 8u * step;
    var sum = dot(quants(weights[at]), v.first[0]);
    sum += dot(quants(weights[at + 1u]), v.first[1]);
    sum += dot(quants(weights[at + 2u]), v.first[2]);
    sum += dot(quants(weights[at + 3u]), v.first[3]);
    sum += dot(quants(weights[at + 4u]), v.second[0]);
    sum += dot(quants(weights[at + 5u]), v.second[1]);
    sum += dot(quants(weights[at + 6u]), v.second[2]);
    sum += dot(quants(weights[at + 7u]), v.second[3]);
    return scale_of_block(step) * 5.9604644775390625e-8 * sum;
}
#else
// Quants stay at their place in the word: a higher place is a power of 16, by which x is divided beforehand.
const PLACES: vec4<f32> = vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);

fn step_of_x(step: u32) -> Step {
    let at = 8u * step;
    let first = mat4x4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let second = mat4x4<f32>(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
    let total = (first[0] + first[1]) + (first[2] + first[3]) + ((second[0] + second[1]) + (second[2] + second[3]));
    return Step(
        mat4x4<f32>(PLACES * first[0], PLACES * first[1], PLACES * first[2], PLACES * first[3]),
        mat4x4<f32>(PLACES * second[0], PLACES * second[1], PLACES * second[2], PLACES * second[3]),
        8.0 * dot(total, vec4<f32>(1.0)),
    );
}

fn quants(half_word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(half_word) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)));
}

fn word_dot(word: u32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    return dot(quants(word), a) + dot(quants(word >> 16u), b);
}

fn step_dot(step: u32, v: Step) -> f32 {
    let at = 4u * step;
    var sum = word_dot(weights[at], v.first[0], v.first[1]);
    sum += word_dot(weights[at + 1u], v.first[2], v.first[3]);
    sum += word_dot(weights[at + 2u], v.second[0], v.second[1]);
    sum += word_dot(weights[at + 3u], v.second[2], v.second[3]);
    return scale_of_block(step) * (sum - v.less);
}
#endif
#endif
