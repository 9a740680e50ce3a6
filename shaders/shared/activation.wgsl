// Activations that end a linear layer; the numbers are `ACTIVATIONS` of engine/src/gpu.
const LINEAR: u32 = 0u;
const GELU_TANH: u32 = 1u;
const GELU_ERF: u32 = 2u;
const TANH: u32 = 3u;

// WGSL's tanh may overflow inside for large arguments; beyond 10 it is 1 in f32 anyway.
fn safe_tanh(x: f32) -> f32 {
    return tanh(clamp(x, -10.0, 10.0));
}

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - poly * exp(-x * x));
}

fn activate(x: f32, kind: u32) -> f32 {
    switch kind {
        case GELU_TANH: {
            return 0.5 * x * (1.0 + safe_tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
        }
        case GELU_ERF: {
            return 0.5 * x * (1.0 + erf(x * 0.7071067812));
        }
        case TANH: {
            return safe_tanh(x);
        }
        default: {
            return x;
        }
    }
}

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}
