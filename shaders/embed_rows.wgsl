//! Rows of an embedding table: x[i] = table[ids[i]].
//!
//! A table in shards is several dispatches; each writes the rows whose ids it holds. Bound on a GPU by latency.
//! variants: WEIGHT = f32 f16 bf16 q8_0 q4_0

struct Params {
    // Ids, and the first of them in `ids`.
    tokens: u32,
    id0: u32,
    // Groups of four in a row.
    k4: u32,
    // The ids that this shard holds.
    row0: u32,
    rows: u32,
    // First word of the scales (quantised weights).
    scales: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
#import weights
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.y;
    if id.x >= p.k4 || token >= p.tokens {
        return;
    }
    let row = ids[p.id0 + token];
    if row >= p.row0 && row - p.row0 < p.rows {
        x[token * p.k4 + id.x] = weight4((row - p.row0) * p.k4 + id.x);
    }
}
