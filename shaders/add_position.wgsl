//! Adds the encoder's learned position embedding: x[i] += table[index[i] mod rows].
//!
//! Bound on a GPU by latency.

struct Params {
    elements: u32,
    // Groups of four in a row.
    d4: u32,
    // Rows of the table: patches of a page.
    rows: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> position: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.d4 && id.y < p.elements {
        x[id.y * p.d4 + id.x] += position[(index[id.y] % p.rows) * p.d4 + id.x];
    }
}
