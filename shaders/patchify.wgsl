//! Patches of 8-bit pages as the encoder takes them: flattened as (channel, row, column), (x / 255 - 0.5) / 0.5.
//!
//! Bound on a GPU by latency; a page is a few kilobytes.

struct Params {
    // Patches to cut.
    patches: u32,
    channels: u32,
    patch_height: u32,
    patch_width: u32,
    image_height: u32,
    image_width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Pages one after another, four pixels a word, the first in the low byte.
@group(0) @binding(1) var<storage, read> pages: array<u32>;
// Which patch each row is: page · patches of a page + patch in raster order.
@group(0) @binding(2) var<storage, read> index: array<u32>;
// [patches, channels · patch_height · patch_width]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixels = p.patch_height * p.patch_width;
    let length = p.channels * pixels;
    if id.x >= length || id.y >= p.patches {
        return;
    }
    let columns = p.image_width / p.patch_width;
    let in_page = columns * (p.image_height / p.patch_height);
    let patch_index = index[id.y];
    let page = patch_index / in_page;
    let patch_ = patch_index % in_page;
    let pixel = id.x % pixels;
    let row = (patch_ / columns) * p.patch_height + pixel / p.patch_width;
    let column = (patch_ % columns) * p.patch_width + pixel % p.patch_width;
    let at = (page * p.image_height + row) * p.image_width + column;
    let value = (pages[at >> 2u] >> (8u * (at & 3u))) & 255u;
    y[id.y * length + id.x] = (f32(value) / 255.0 - 0.5) / 0.5;
}
