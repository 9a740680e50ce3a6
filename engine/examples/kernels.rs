//! Times single kernels on the best adapter: `cargo run --release -p folio-engine --features gpu --example kernels`.
//!
//! Weights are f16. For every style that the adapter has: GFLOP/s of `mat_mul`, GB/s of `mat_vec` and of attention for one
//! query. Medians of interleaved rounds, in seconds of wall time.

// A program for the terminal.
#![allow(clippy::print_stdout)]

use folio_engine::gpu::{Buffer, GpuOptions, Machine, Recording, Slice, Style, WgpuMachine};
use folio_shaders::{Form, Weight, mat_mul, mat_vec, visual_attention};
use std::time::Instant;

const ROUNDS: usize = 5;

fn now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a future of wgpu waits"),
    }
}

struct Bench {
    machine: WgpuMachine,
    buffers: [Buffer; 5],
}

impl Bench {
    /// Seconds of one launch.
    fn time(&mut self, rec: &Recording, launches: usize) -> f64 {
        let read = Slice {
            buffer: self.buffers[4],
            offset: 0,
            bytes: 4,
        };
        let start = Instant::now();
        now(self.machine.run(rec, Some(read))).expect("runs");
        start.elapsed().as_secs_f64() / launches as f64
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let options = GpuOptions {
        allow_software: true,
        ..GpuOptions::default()
    };
    let machine = now(WgpuMachine::open(options)).expect("an adapter");
    println!("{}", machine.name());
    let mut bench = Bench {
        buffers: [0; 5].map(|_| Buffer::default()),
        machine,
    };
    for buffer in &mut bench.buffers {
        *buffer = bench.machine.create("bench", 64 << 20).expect("room");
        bench.machine.upload(*buffer, 0, &vec![0; 64 << 20]).expect("upload");
    }
    let [w, x, bias, y, spans] = bench.buffers;
    let mut cases: Vec<(String, f64, &str, Recording, usize)> = Vec::new();
    let styles: Vec<Style> = Style::ALL
        .into_iter()
        .filter(|&s| !s.subgroups() || bench.machine.report().subgroups)
        .collect();
    for &style in &styles {
        for (form, form_name) in [(Form::Linear, "linear"), (Form::Gated, "gated")] {
            for (tokens, rows, inputs) in [(32, 256, 256), (448, 512, 256), (448, 1536, 576)] {
                if Style::of(mat_mul::kernel(Weight::F16, form, style)) != Some(style) {
                    continue;
                }
                let params = mat_mul::Params {
                    tokens: tokens as u32,
                    rows: rows as u32,
                    k4: inputs as u32 / 4,
                    y_stride: rows as u32,
                    out_scale: 1.0,
                    ..Default::default()
                };
                let call = mat_mul::call(
                    Weight::F16,
                    form,
                    style,
                    params,
                    mat_mul::Bindings { weights: w, x, bias, y },
                );
                let grid = [
                    (rows as u32).div_ceil(call.kernel.constant("ROWS")) as usize,
                    (tokens as u32).div_ceil(call.kernel.constant("TOKENS")) as usize,
                    1,
                ];
                let mut rec = Recording::default();
                (0..4).for_each(|_| rec.dispatch(call.clone(), grid));
                let products = if form == Form::Gated { 2 } else { 1 };
                let work = (2 * products * tokens * rows * inputs) as f64 * 1e-9;
                cases.push((
                    format!("mat_mul {form_name} {style} {tokens}×{rows}×{inputs}"),
                    work,
                    "GFLOP/s",
                    rec,
                    4,
                ));
            }
            for (rows, inputs) in [(512, 256), (4096, 256), (1536, 576), (49152, 576)] {
                if form == Form::Gated && rows > 2000 {
                    continue;
                }
                let params = mat_vec::Params {
                    rows: rows as u32,
                    k4: inputs as u32 / 4,
                    y_stride: rows as u32,
                    out_scale: 1.0,
                    ..Default::default()
                };
                let call = mat_vec::call(
                    Weight::F16,
                    form,
                    style,
                    params,
                    mat_vec::Bindings { weights: w, x, bias, y },
                );
                let grid = [(rows as u32).div_ceil(call.kernel.constant("ROWS")) as usize, 1, 1];
                let mut rec = Recording::default();
                (0..8).for_each(|_| rec.dispatch(call.clone(), grid));
                let products = if form == Form::Gated { 2 } else { 1 };
                cases.push((
                    format!("mat_vec {form_name} {style} {rows}×{inputs}"),
                    (2 * products * rows * inputs) as f64 * 1e-9,
                    "GB/s",
                    rec,
                    8,
                ));
            }
        }
        if Style::of(visual_attention::kernel(style)) == Some(style) {
            let (heads, kv_heads, dim, slots, splits) = (9, 3, 64, 1024, 16);
            let params = visual_attention::Params {
                queries: 1,
                heads,
                group: heads / kv_heads,
                head_dim4: dim / 4,
                q_stride4: heads * dim / 4,
                kv_stride4: kv_heads * dim / 4,
                splits,
                scale: 0.125,
                ..Default::default()
            };
            let call = visual_attention::call(
                style,
                params,
                visual_attention::Bindings {
                    q: x,
                    k: w,
                    v: bias,
                    spans,
                    y,
                    stats: bench.machine.create("stats", 1 << 20).expect("room"),
                },
            );
            bench
                .machine
                .upload(spans, 0, bytemuck::cast_slice(&[0u32, slots, 0, 0]))
                .expect("upload");
            let grid = match style {
                Style::Serial => [((kv_heads * splits) as usize).div_ceil(8), 1, 1],
                _ => [1, kv_heads as usize, splits as usize],
            };
            let mut rec = Recording::default();
            (0..8).for_each(|_| rec.dispatch(call.clone(), grid));
            let bytes = (2 * slots * kv_heads * dim * 4) as f64 * 1e-9;
            cases.push((
                format!("attention {style} 9 heads of 3, {slots} slots"),
                bytes,
                "GB/s",
                rec,
                8,
            ));
        }
    }
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter().zip(&mut times) {
            let seconds = bench.time(&case.3, case.4);
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    for ((name, work, unit, ..), times) in cases.iter().zip(times) {
        let seconds = median(times);
        println!("{name:<44} {:>9.3} ms {:>8.2} {unit}", seconds * 1e3, work / seconds);
    }
}
