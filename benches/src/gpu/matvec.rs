//! The matrix-vector products of one token, against only adding up what they read.

use crate::contest::Timer;
use crate::device::{Device, Launch};
use crate::sums::{self, Sum};
use anyhow::{Context, Result};
use folio_benches::statistics::median;
use folio_engine::config::TextConfig;
use folio_shaders::{Access, Form, Style, Weight, mat_vec};
use serde::Serialize;

/// Sums that are timed again, in turns with the products.
const FINALISTS: usize = 4;

/// The fastest of several sums.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fastest {
    /// Which one it was.
    pub(crate) pattern: String,
    /// Median seconds.
    pub(crate) seconds: f64,
    /// Least CPU seconds of this process, where the system says.
    pub(crate) cpu_seconds: Option<f64>,
}

/// The products of one token beside sums of what they read.
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
    /// The same in CPU seconds of this process, where the system says.
    pub(crate) cpu_seconds: Option<f64>,
    /// The sum of the stored words, as if each were an f32: nothing is unpacked.
    pub(crate) words: Fastest,
    /// The sum of the weights as numbers; none for f32, where it is the same.
    pub(crate) values: Option<Fastest>,
    /// Seconds of every sum that was tried, once each.
    pub(crate) tried: Vec<(String, f64)>,
}

impl MatVec {
    /// Bytes a second of the products, as a share of those of a sum: by the clock, and by CPU seconds.
    pub(crate) fn share(&self, of: &Fastest) -> (f64, Option<f64>) {
        let cpu = of.cpu_seconds.zip(self.cpu_seconds);
        (of.seconds / self.seconds, cpu.map(|(sum, ours)| sum / ours))
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
        Weight::F16 | Weight::Bf16 => (values / 2, 0),
        // Scales behind the quants: a half for 32 values.
        Weight::Q8_0 => (values / 4, values / 64),
        Weight::Q4_0 => (values / 8, values / 64),
    };
    let widest = text.hidden_size.max(text.intermediate_size).max(text.q_size());
    let x = device.storage(&vec![0.5; widest]);
    let bias = device.storage(&[0.0; 4]);
    let y = device.empty(4 * text.vocab_size.max(2 * widest) as u64);
    // A value whose two halves are small f16 and bf16 values, too.
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
        buffers.push(sums::Stored { buffer, quants, words });
    }
    device.settle()?;

    let words = sums::of_words(device, &buffers)?;
    let values = sums::of_values(device, &buffers, weight)?;
    // The products, then the sums that were fastest once.
    let mut contest: Vec<&[Launch]> = vec![&products];
    contest.extend(words.iter().take(FINALISTS).map(|sum| sum.launches.as_slice()));
    contest.extend(values.iter().take(FINALISTS).map(|sum| sum.launches.as_slice()));
    let mut times = vec![(Vec::new(), Vec::new()); contest.len()];
    device.time(&products)?;
    for _ in 0..rounds.max(3) {
        for (launches, (seconds, cpu)) in contest.iter().zip(&mut times) {
            let timer = Timer::start();
            seconds.push(device.time(launches)?);
            cpu.extend(timer.stop().1);
        }
    }
    let times: Vec<(f64, Option<f64>)> = times
        .into_iter()
        .map(|(seconds, cpu)| (median(seconds), (!cpu.is_empty()).then(|| median(cpu))))
        .collect();
    let (of_words, of_values) = times[1..].split_at(words.len().min(FINALISTS));
    let fastest = |of: &[(f64, Option<f64>)], sums: &[Sum]| {
        let at = (0..of.len()).min_by(|&a, &b| of[a].0.total_cmp(&of[b].0))?;
        Some(Fastest {
            pattern: sums[at].name.clone(),
            seconds: of[at].0,
            cpu_seconds: of.iter().filter_map(|time| time.1).min_by(f64::total_cmp),
        })
    };
    Ok(MatVec {
        style: style.to_string(),
        weight: weight.to_string(),
        bytes,
        seconds: times[0].0,
        cpu_seconds: times[0].1,
        words: fastest(of_words, &words).context("no sum was timed")?,
        values: fastest(of_values, &values),
        tried: words
            .iter()
            .chain(&values)
            .map(|sum| (sum.name.clone(), sum.seconds))
            .collect(),
    })
}
