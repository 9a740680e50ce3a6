//! burn on wgpu with our WGSL for visual-token attention and folding, against the default bodies: kernel by kernel, and
//! in the runner. Needs an adapter; a software one (on Debian: mesa-vulkan-drivers) is enough.
//!
//! `cargo xtask test --burn-wgpu`: a build of many minutes, so not among the tests that CI runs by default.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Tensor, TensorData, TensorPrimitive, backend::Backend};
use burn_flex::Flex;
use burn_wgpu::WgpuDevice;
use folio_engine::Wait;
use folio_engine::checkpoint::init_tensor;
use folio_engine::config::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig,
};
use folio_engine::context::Span;
use folio_engine::model::{BurnRunner, BurnWgpu, BurnWgpuPlain, Fused, Vist2};
use folio_engine::page::{FontStack, PageImage, PageRenderer, Tint};
use folio_engine::runner::{Runner, Want};
use proptest::prelude::*;

/// The two forms of the kernel: without barriers on software adapters asked for as such, with them elsewhere.
const DEVICES: [WgpuDevice; 2] = [WgpuDevice::Cpu, WgpuDevice::DefaultDevice];

fn tensor<B: Backend, const D: usize>(values: &[f32], shape: [usize; D], device: &B::Device) -> TensorPrimitive<B> {
    Tensor::<B, D>::from_data(TensorData::new(values.to_vec(), shape), device).into_primitive()
}

fn values<B: Backend, const D: usize>(tensor: B::FloatTensorPrimitive) -> Vec<f32> {
    Tensor::<B, D>::from_primitive(TensorPrimitive::Float(tensor))
        .into_data()
        .into_vec()
        .unwrap()
}

/// Numbers from -1 to 1, the same for the same seed.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Case {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    rows: usize,
    spans: Vec<Span>,
    seed: u32,
}

fn attended<B: Fused>(case: &Case, device: &B::Device) -> Vec<f32> {
    let (n, width) = (case.spans.len(), case.kv_heads * case.head_dim);
    let q = noise(n * case.heads * case.head_dim, case.seed);
    let q = tensor::<B, 3>(&q, [n, case.heads, case.head_dim], device).tensor();
    let [k, v] = [1, 2].map(|i| {
        let kv = noise(case.rows * width, case.seed + i);
        tensor::<B, 2>(&kv, [case.rows, width], device).tensor()
    });
    values::<B, 3>(B::attend_spans(q, k, v, &case.spans))
}

fn span(rows: usize) -> impl Strategy<Value = Span> {
    (1..=rows, 0..rows, 0..=rows).prop_map(move |(first, start, len)| {
        let start = (first + start).min(rows);
        let end = (start + len).min(rows);
        Span {
            first: (0, first),
            second: if start < end { (start, end) } else { (0, 0) },
        }
    })
}

fn case() -> impl Strategy<Value = Case> {
    (1..4usize, 1..4usize, 1..18usize, 1..400usize, 1..40usize, any::<u32>()).prop_flat_map(
        |(kv_heads, group, head_dim4, rows, n, seed)| {
            prop::collection::vec(span(rows), n).prop_map(move |spans| Case {
                heads: kv_heads * group,
                kv_heads,
                head_dim: 4 * head_dim4,
                rows,
                spans,
                seed,
            })
        },
    )
}

fn close(got: &[f32], wanted: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), wanted.len());
    for (i, (a, b)) in got.iter().zip(wanted).enumerate() {
        prop_assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "value {}: {} for {}", i, a, b);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn attention_is_that_of_the_default_body(case in case()) {
        let wanted = attended::<Flex>(&case, &Default::default());
        for device in DEVICES {
            close(&attended::<BurnWgpu>(&case, &device), &wanted)?;
        }
    }

    #[test]
    fn rows_move_as_in_the_default_body(
        (from, n, gap, more) in (0..300usize, 1..200usize, 0..50usize, 0..50usize),
        width4 in 1..50usize,
        forward in any::<bool>(),
        shared in any::<bool>(),
    ) {
        let (a, b) = (from, from + n + gap);
        let (from, to) = if forward { (a, b) } else { (b, a) };
        let shape = [b + n + more, 4 * width4];
        let [k, v] = [7, 8].map(|seed| noise(shape[0] * shape[1], seed));
        let wanted = {
            let device = Default::default();
            let [k, v] = [&k, &v].map(|t| tensor::<Flex, 2>(t, shape, &device).tensor());
            let (k, v) = Flex::move_rows(k, v, from, to, n);
            [k, v].map(values::<Flex, 2>)
        };
        for device in DEVICES {
            let [gk, gv] = [&k, &v].map(|t| tensor::<BurnWgpu, 2>(t, shape, &device).tensor());
            // Somebody else's tensor must not change under them.
            let other = shared.then(|| gk.clone());
            let (gk, gv) = BurnWgpu::move_rows(gk, gv, from, to, n);
            prop_assert_eq!(&values::<BurnWgpu, 2>(gk), &wanted[0]);
            prop_assert_eq!(&values::<BurnWgpu, 2>(gv), &wanted[1]);
            if let Some(other) = other {
                prop_assert_eq!(&values::<BurnWgpu, 2>(other), &k);
            }
        }
    }
}

fn config(visual_sees_text: bool) -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 90,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 8,
            max_position_embeddings: 300,
            rms_norm_eps: 1e-6,
            rope_theta: 1000.0,
            tie_word_embeddings: true,
        },
        bos_token_id: 0,
        eos_token_id: vec![1],
        fold: Some(FoldConfig {
            vision: VisionConfig {
                hidden_size: 24,
                intermediate_size: 32,
                num_hidden_layers: 2,
                num_attention_heads: 3,
                layer_norm_eps: 1e-6,
                num_channels: 1,
                patch_height: 16,
                patch_width: 32,
                image_height: 64,
                image_width: 64,
            },
            aligner: AlignerConfig {
                kind: AlignerKind::Linear,
                hidden_size: None,
            },
            page: PageConfig {
                font_px: 14.0,
                cell_width: 8,
                cell_height: 16,
                newline: '¶',
            },
            chunk_tokens: 16,
            visual_tokens: 8,
            visual_sees_text,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

fn page(config: &Config, cells: usize) -> PageImage {
    let text: String = ('a'..='z').cycle().skip(cells % 7).take(cells).collect();
    PageRenderer::new(config.fold.as_ref().unwrap(), FontStack::embedded()).render(&text, Tint::White)
}

/// All logits of a context in which everything happens that a runner does.
fn story<B: Fused>(config: &Config, device: B::Device) -> Vec<f32> {
    // Larger weights than at initialisation, so that a wrong mask or position shows in the logits.
    let model = Vist2::<B>::build(
        config,
        &mut |spec| {
            let mut values = init_tensor(config, spec, 5);
            if !spec.name.contains("norm") {
                values.iter_mut().for_each(|v| *v *= 6.0);
            }
            Ok(values)
        },
        &device,
    )
    .unwrap();
    let mut runner = BurnRunner::new(model, device, "test");
    let ids = |n: u32, seed: u32| -> Vec<u32> { (0..n).map(|i| (i * 31 + seed * 17) % 90).collect() };
    let mut out = Vec::new();
    runner.extend(&[0], Want::Nothing).wait().unwrap();
    runner.keep_open();
    // A prompt's pages, without their text; then a chunk token by token, folded while it is open.
    out.extend(
        runner
            .fold(&[page(config, 30), page(config, 9)], Want::Last)
            .wait()
            .unwrap()
            .logits
            .data,
    );
    for id in ids(16, 1) {
        out.extend(runner.extend(&[id], Want::Last).wait().unwrap().data);
    }
    out.extend(runner.fold(&[page(config, 40)], Want::Last).wait().unwrap().logits.data);
    // More text at once than splits are made of, some kept, some folded with two pages.
    out.extend(runner.extend(&ids(70, 2), Want::All).wait().unwrap().data);
    runner.keep_open();
    out.extend(runner.extend(&ids(5, 3), Want::Last).wait().unwrap().data);
    out.extend(
        runner
            .fold(&[page(config, 20), page(config, 64)], Want::Last)
            .wait()
            .unwrap()
            .logits
            .data,
    );
    for id in ids(4, 4) {
        out.extend(runner.extend(&[id], Want::Last).wait().unwrap().data);
    }
    // The controls: the oldest go, and a chunk is forgotten.
    runner.drop_open();
    runner.evict(9);
    out.extend(runner.extend(&ids(3, 5), Want::All).wait().unwrap().data);
    out
}

#[test]
fn a_runner_with_our_kernels_gives_the_logits_of_the_default_bodies() {
    for sees_text in [false, true] {
        let config = config(sees_text);
        let cpu = story::<Flex>(&config, Default::default());
        let plain = story::<BurnWgpuPlain>(&config, WgpuDevice::Cpu);
        let largest = plain.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        for device in DEVICES {
            let ours = story::<BurnWgpu>(&config, device.clone());
            for (name, wanted) in [("burn-wgpu", &plain), ("the CPU", &cpu)] {
                assert_eq!(ours.len(), wanted.len());
                let apart = ours.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                println!(
                    "sees_text {sees_text}, {device:?}: {:e} of the largest logit from {name}",
                    apart / largest
                );
                assert!(
                    apart <= 1e-3 * largest,
                    "{device:?}: {apart} from {name}, largest logit {largest}"
                );
            }
        }
    }
}
