// How a linear layer ends: the output of one row of the matrix for one row of x. FORM gated: `first` is of the gate half,
// `second` of the up half.
#import activation

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
