//! Linear layers and norms.

use super::Program;
use crate::config::VisionConfig;
use crate::gpu::matrix::Matrix;
use crate::gpu::recording::{Buffer, Recording};
use crate::gpu::weights::{Linear, Norm};
use folio_shaders::{Form, layer_norm, mat_mul, mat_vec, rms_norm};

/// Rows up to which weights are read once per row: beyond, a tile of rows shares them.
const MAT_VEC_ROWS: usize = 4;

/// What comes after a matrix product; the numbers are those of `shaders/shared/activation.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    None = 0,
    GeluTanh = 1,
    GeluErf = 2,
    Tanh = 3,
}

/// How a linear layer ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) activation: Activation,
    /// Multiplies the activation's output.
    pub(super) scale: f32,
    /// Add to what y holds instead of replacing it.
    pub(super) accumulate: bool,
}

impl End {
    pub(super) const PLAIN: Self = Self {
        activation: Activation::None,
        scale: 1.0,
        accumulate: false,
    };
    pub(super) const RESIDUAL: Self = Self {
        accumulate: true,
        ..Self::PLAIN
    };

    pub(super) fn activate(activation: Activation) -> Self {
        Self {
            activation,
            ..Self::PLAIN
        }
    }
}

impl Program {
    /// `y = end(x Wᵀ + b)`; x `[rows, inputs]`, y `[rows, outputs]`.
    pub(super) fn linear(&self, rec: &mut Recording, linear: &Linear, x: Buffer, y: Buffer, rows: usize, end: End) {
        self.product(rec, &linear.matrix, linear.bias, Form::Linear, x, y, rows, end);
    }

    /// `y = x Wᵀ`.
    pub(super) fn project(&self, rec: &mut Recording, matrix: &Matrix, x: Buffer, y: Buffer, rows: usize) {
        self.product(rec, matrix, None, Form::Linear, x, y, rows, End::PLAIN);
    }

    /// `y = silu(x gateᵀ) · (x upᵀ)`.
    pub(super) fn gated(&self, rec: &mut Recording, matrix: &Matrix, x: Buffer, y: Buffer, rows: usize) {
        self.product(rec, matrix, None, Form::Gated, x, y, rows, End::PLAIN);
    }

    #[allow(clippy::too_many_arguments)]
    fn product(
        &self,
        rec: &mut Recording,
        matrix: &Matrix,
        bias: Option<Buffer>,
        form: Form,
        x: Buffer,
        y: Buffer,
        rows: usize,
        end: End,
    ) {
        for shard in &matrix.shards {
            let params = mat_mul::Params {
                tokens: rows as u32,
                rows: shard.rows as u32,
                row0: shard.row0 as u32,
                k4: matrix.k4 as u32,
                y_stride: matrix.outputs as u32,
                scales: shard.scales,
                has_bias: u32::from(bias.is_some()),
                accumulate: u32::from(end.accumulate),
                activation: end.activation as u32,
                out_scale: end.scale,
                ..Default::default()
            };
            let (weights, bias) = (shard.buffer, bias.unwrap_or(self.scratch.unused));
            let call = if rows <= MAT_VEC_ROWS {
                // The same structure: both kernels import shaders/shared/linear.wgsl.
                let params = bytemuck::cast(params);
                let bindings = mat_vec::Bindings { weights, x, bias, y };
                mat_vec::call(matrix.weight, form, self.style, params, bindings)
            } else {
                let bindings = mat_mul::Bindings { weights, x, bias, y };
                mat_mul::call(matrix.weight, form, self.style, params, bindings)
            };
            let groups = |values: usize, each: &str| values.div_ceil(call.kernel.constant(each) as usize);
            let grid = [groups(shard.rows, "ROWS"), groups(rows, "TOKENS"), 1];
            rec.dispatch(call, grid);
        }
    }

    /// RMSNorm of `rows` rows of `x` from row `row0` on, to the start of `y`.
    pub(super) fn rms_norm(&self, rec: &mut Recording, weight: Buffer, x: Buffer, row0: usize, rows: usize, y: Buffer) {
        let call = rms_norm::call(
            self.style,
            rms_norm::Params {
                rows: rows as u32,
                row0: row0 as u32,
                d4: (self.config.text.hidden_size / 4) as u32,
                eps: self.config.text.rms_norm_eps as f32,
                ..Default::default()
            },
            rms_norm::Bindings { x, weight, y },
        );
        let per_group = call.kernel.constant("ROWS") as usize;
        rec.dispatch(call, [rows.div_ceil(per_group), 1, 1]);
    }

    /// LayerNorm of the first `rows` rows of the encoder's width.
    pub(super) fn layer_norm(
        &self,
        rec: &mut Recording,
        norm: &Norm,
        x: Buffer,
        y: Buffer,
        rows: usize,
        vision: &VisionConfig,
    ) {
        let call = layer_norm::call(
            self.style,
            layer_norm::Params {
                rows: rows as u32,
                d4: (vision.hidden_size / 4) as u32,
                eps: vision.layer_norm_eps as f32,
                ..Default::default()
            },
            layer_norm::Bindings {
                x,
                weight: norm.weight,
                bias: norm.bias,
                y,
            },
        );
        let per_group = call.kernel.constant("ROWS") as usize;
        rec.dispatch(call, [rows.div_ceil(per_group), 1, 1]);
    }
}
