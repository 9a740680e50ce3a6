//! The matrix-vector products of one token, against only reading what they read.

use crate::contest::Timer;
use crate::device::{Device, Launch};
use anyhow::Result;
use folio_benches::statistics::median;
use folio_engine::config::TextConfig;
use folio_shaders::{Access, Form, Style, Weight, mat_vec};
use serde::Serialize;

const SUM: &str = include_str!("sum.wgsl");
/// Workgroup sizes and words per invocation (in groups of four) that the sum is tried with.
const LANES: [u32; 2] = [64, 256];
const EACH: [u32; 3] = [16, 64, 256];
/// Neighbouring invocations take neighbouring stretches; stride over everything; stride inside a workgroup's stretch.
const PATTERNS: [&str; 3] = ["runs", "strides", "blocks"];

/// Sums that are timed again, in turns with the products.
const FINALISTS: usize = 4;

/// Bytes a second.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MatVec {
    /// How the kernels reduce.
    pub(crate) style: String,
    /// Weights as stored.
    pub(crate) weight: String,
    /// Bytes of all matrices that one token reads.
    pub(crate) bytes: u64,
    /// Products: median seconds of one token.
    pub(crate) seconds: f64,
    /// The fastest sum: median seconds.
    pub(crate) sum_seconds: f64,
    /// Which sum that was.
    pub(crate) sum_pattern: String,
    /// CPU seconds of this process, where the system says: products, and the sum that takes least.
    pub(crate) cpu_seconds: Option<(f64, f64)>,
    /// Seconds of every sum that was tried, once each.
    pub(crate) sums: Vec<(String, f64)>,
}

impl MatVec {
    /// Bytes a second of the products.
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    /// Bytes a second of the sum.
    pub(crate) fn sum_rate(&self) -> f64 {
        self.bytes as f64 / self.sum_seconds
    }
}

/// Outputs, inputs and form of every matrix that one token goes through.
fn matrices(text: &TextConfig) -> Vec<(usize, usize, Form)> {
    let layer = [
        (text.q_size() + 2 * text.kv_size(), text.hidden_size, Form::Linear),
        (text.hidden_size, text.q_size(), Form::Linear),
        (text.intermediate_size, text.hidden_size, Form::Gated),
        (text.hidden_size, text.intermediate_size, Form::Linear),
    ];
    let mut all: Vec<_> = std::iter::repeat_n(layer, text.num_hidden_layers).flatten().collect();
    all.push((text.vocab_size, text.hidden_size, Form::Linear));
    all
}

/// Times the products and the sums in turns.
///
/// # Errors
/// A lost device.
pub(crate) fn measure(
    device: &Device,
    text: &TextConfig,
    weight: Weight,
    style: Style,
    rounds: usize,
) -> Result<MatVec> {
    let words_of = |values: usize| match weight {
        Weight::F32 => (values, 0),
        Weight::F16 => (values / 2, 0),
        // Scales behind the quants: a half for 32 values.
        Weight::Q8_0 => (values / 4, values / 64),
        Weight::Q4_0 => (values / 8, values / 64),
    };
    let widest = text.hidden_size.max(text.intermediate_size).max(text.q_size());
    let x = device.storage(&vec![0.5; widest]);
    let bias = device.storage(&[0.0; 4]);
    let y = device.empty(4 * text.vocab_size.max(2 * widest) as u64);
    // A value whose two halves are small f16 values, too.
    let value = f32::from_bits(0x2c00_2c00);
    let (mut products, mut buffers, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut pipelines = std::collections::HashMap::new();
    for (outputs, inputs, form) in matrices(text) {
        let rows = if form == Form::Gated { 2 * outputs } else { outputs };
        let (quants, scales) = words_of(rows * inputs);
        let words = quants + scales;
        bytes += 4 * words as u64;
        let buffer = device.storage(&vec![value; words]);
        let call = mat_vec::call(
            weight,
            form,
            style,
            mat_vec::Params {
                rows: outputs as u32,
                k4: (inputs / 4) as u32,
                y_stride: outputs as u32,
                scales: quants as u32,
                out_scale: 1.0,
                ..Default::default()
            },
            mat_vec::Bindings {
                weights: &buffer,
                x: &x,
                bias: &bias,
                y: &y,
            },
        );
        let pipeline = pipelines.entry(call.kernel.index).or_insert_with(|| {
            let storage: Vec<Access> = call.kernel.bindings.iter().map(|b| b.access).collect();
            device.pipeline(call.kernel.source, &storage)
        });
        let groups = outputs.div_ceil(call.kernel.constant("ROWS") as usize) as u32;
        products.push(device.launch(pipeline, &call.params, &call.bindings, [groups, 1, 1]));
        buffers.push((buffer, words / 4));
    }
    device.settle()?;

    let mut sums = Vec::new();
    let out = device.empty(4 * buffers.iter().map(|(_, n)| *n as u64).max().unwrap_or(0));
    let (read, write) = (Access::Read, Access::ReadWrite);
    for (pattern, name) in PATTERNS.iter().enumerate() {
        for lanes in LANES {
            let pipelines = [false, true].map(|clamp| {
                let consts = format!("const LANES = {lanes}u;\nconst PATTERN = {pattern}u;\nconst CLAMP = {clamp};\n");
                device.pipeline(&(consts + SUM), &[read, write])
            });
            for each in EACH {
                let launches: Vec<Launch> = buffers
                    .iter()
                    .map(|(buffer, groups)| {
                        let groups = *groups as u32;
                        let mut invocations = groups.div_ceil(each);
                        if PATTERNS[pattern] == "blocks" {
                            // A block is a whole workgroup's.
                            invocations = invocations.next_multiple_of(lanes);
                        }
                        let clamp = usize::from(invocations * each != groups);
                        let params = [groups, each, invocations, 0];
                        device.launch(
                            &pipelines[clamp],
                            bytemuck::cast_slice(&params),
                            &[buffer, &out],
                            [invocations.div_ceil(lanes), 1, 1],
                        )
                    })
                    .collect();
                device.time(&launches)?;
                let seconds = device.time(&launches)?;
                sums.push((
                    format!("{name}, {lanes} lanes, {} words each", 4 * each),
                    seconds,
                    launches,
                ));
            }
        }
    }
    sums.sort_by(|a, b| a.1.total_cmp(&b.1));
    // The products, then the sums that were fastest once.
    let mut contest: Vec<&[Launch]> = vec![&products];
    contest.extend(sums.iter().take(FINALISTS).map(|sum| sum.2.as_slice()));
    let mut times = vec![(Vec::new(), Vec::new()); contest.len()];
    device.time(&products)?;
    for _ in 0..rounds.max(3) {
        for (launches, (seconds, cpu)) in contest.iter().zip(&mut times) {
            let timer = Timer::start();
            seconds.push(device.time(launches)?);
            cpu.extend(timer.stop().1);
        }
    }
    let (seconds, cpu): (Vec<f64>, Vec<Option<f64>>) = times
        .into_iter()
        .map(|(seconds, cpu)| (median(seconds), (!cpu.is_empty()).then(|| median(cpu))))
        .unzip();
    let fastest = (1..seconds.len())
        .min_by(|&a, &b| seconds[a].total_cmp(&seconds[b]))
        .unwrap_or(0);
    let least_cpu = cpu[1..].iter().flatten().copied().min_by(f64::total_cmp);
    Ok(MatVec {
        style: style.to_string(),
        weight: weight.to_string(),
        bytes,
        seconds: seconds[0],
        sum_seconds: seconds[fastest],
        sum_pattern: sums[fastest - 1].0.clone(),
        cpu_seconds: cpu[0].zip(least_cpu),
        sums: sums.into_iter().map(|(name, seconds, _)| (name, seconds)).collect(),
    })
}
