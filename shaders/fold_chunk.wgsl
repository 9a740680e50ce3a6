//! Commits a page: moves its visual KV, computed beside the open chunk, over the chunk's text KV (spec section 3).
//!
//! Rows `from` … of one layer's keys and values go to `to` …; the ranges never overlap, see engine/src/gpu. Nothing is
//! read back: the host knows the counts. Bound on a GPU by memory, a few kilobytes.

struct Params {
    rows: u32,
    from_row: u32,
    to_row: u32,
    // Groups of four in a row.
    stride4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.rows * p.stride4 {
        let source = p.from_row * p.stride4 + id.x;
        let target_ = p.to_row * p.stride4 + id.x;
        k[target_] = k[source];
        v[target_] = v[source];
    }
}
