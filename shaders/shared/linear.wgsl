// A linear layer: its parameters, its buffers and how it ends. The matrix (binding 1) is imported beside it: `weights` or
// `weight_step`.
struct Params {
    // Rows of x and y (a grid of mat_vec says it as well).
    tokens: u32,
    // Outputs of this matrix (shard), and where they begin in a row of y.
    rows: u32,
    row0: u32,
    // Groups of four in a row of W and of x.
    k4: u32,
    // Values in a row of y.
    y_stride: u32,
    // First word of the scales (quantised weights).
    scales: u32,
    has_bias: u32,
    accumulate: u32,
    activation: u32,
    out_scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#import activation

// The output of one row of the matrix for one row of x. FORM gated: `first` is of the gate half, `second` of the up half.
fn finish(row: u32, token: u32, first: f32, second: f32) {
    let at = token * p.y_stride + p.row0 + row;
#if FORM_gated
    y[at] = silu(first) * second;
#else
    var value = first;
    if p.has_bias != 0u {
        value += bias[p.row0 + row];
    }
    value = p.out_scale * activate(value, p.activation);
    if p.accumulate != 0u {
        value += y[at];
    }
    y[at] = value;
#endif
}
