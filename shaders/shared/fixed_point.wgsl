// Sums that do not depend on the order of additions: fixed point of 64 bits as (low, high), in units of 2^-44.

fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// Exact but for what is below 2^-44; x is below 2^20.
fn fixed(x: f32) -> vec2<u32> {
    let scaled = x * 4096.0;
    let high = floor(scaled);
    return vec2<u32>(u32((scaled - high) * 4294967296.0), u32(high));
}

fn float(a: vec2<u32>) -> f32 {
    return (f32(a.y) + f32(a.x) * (1.0 / 4294967296.0)) * (1.0 / 4096.0);
}
