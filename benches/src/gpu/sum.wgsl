// What reading the weights costs at least: sums every word of a buffer, in the fastest of several patterns.
// The host puts values for LANES, PATTERN and CLAMP in front.

struct Params {
    // Groups of four words, and how many of them one invocation takes.
    groups: u32,
    each: u32,
    invocations: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

// Where the parts do not divide the buffer, the last word is read again rather than what lies behind it.
fn inside(at: u32) -> u32 {
    if CLAMP {
        return min(at, p.groups - 1u);
    }
    return at;
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if id.x >= p.invocations {
        return;
    }
    var first = id.x * p.each;
    var step = 1u;
    if PATTERN == 1u {
        // Neighbouring invocations read neighbouring words, across the whole buffer.
        first = id.x;
        step = p.invocations;
    } else if PATTERN == 2u {
        // The same inside a stretch of each workgroup's own.
        first = group.x * LANES * p.each + lane;
        step = LANES;
    }
    var a = vec4<f32>();
    var b = vec4<f32>();
    var c = vec4<f32>();
    var d = vec4<f32>();
    for (var i = 0u; i < p.each; i += 4u) {
        let at = first + i * step;
        a += words[inside(at)];
        b += words[inside(at + step)];
        c += words[inside(at + 2u * step)];
        d += words[inside(at + 3u * step)];
    }
    sums[id.x] = dot(a + b + c + d, vec4<f32>(1.0));
}
