//! The incremental runner and the training-style forward are one model: the same NLL of every token, for documents of
//! every kind, with both masks and all decoder shapes.
#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

use burn_flex::Flex;
use folio_engine::Wait;
use folio_engine::checkpoint::{Checkpoint, Dtype, StoredType, TensorSpec, init_tensor, tensors, write, write_stored};
use folio_engine::config::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig,
};
use folio_engine::context::Piece;
use folio_engine::model::{BurnRunner, DocumentTokens, KvType, Packed, Vist2, load_cpu, load_cpu_with};
use folio_engine::page::{FontStack, PageImage, PageRenderer, Patches, Tint};
use folio_engine::runner::{Logits, Runner, Want};
use half::{bf16, f16};

/// The spec's bound for the two to agree, in nats per token.
const BOUND: f64 = 1e-4;

fn config(model_type: TextModelType, aligner: AlignerKind, visual_sees_text: bool, skip_blank_patches: bool) -> Config {
    Config {
        text: TextConfig {
            model_type,
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
            tie_word_embeddings: model_type != TextModelType::Llama,
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
                kind: aligner,
                hidden_size: Some(20),
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
            skip_blank_patches,
            page_encoder: Default::default(),
        }),
    }
}

/// A page's text, as long as `cells` cells.
fn page(config: &FoldConfig, cells: usize, tint: Tint) -> PageImage {
    let text: String = ('a'..='z').cycle().skip(cells % 7).take(cells).collect();
    PageRenderer::new(config, FontStack::embedded()).render(&text, tint)
}

fn model(config: &Config, seed: u64) -> Vist2<Flex> {
    // Larger weights than at initialisation, so that a wrong mask or position shows in the logits.
    Vist2::build(
        config,
        &mut |spec| {
            let mut values = init_tensor(config, spec, seed);
            if !spec.name.contains("norm") {
                values.iter_mut().for_each(|v| *v *= 6.0);
            }
            Ok(values)
        },
        &Default::default(),
    )
    .unwrap()
}

fn nll(logits: &[f32], id: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - most).exp()).sum();
    sum.ln() + f64::from(most) - f64::from(logits[id as usize])
}

/// `(tokens, cells of the page)` per piece: a raw piece has no page.
type Spec = (usize, Option<usize>);

fn compare(config: &Config, specs: &[Spec], seed: u64) {
    let fold = config.fold.as_ref().unwrap();
    let mut next = seed as u32;
    let mut id = || {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (next >> 16) % 90
    };
    let mut document = DocumentTokens::default();
    let mut pages = Vec::new();
    for (i, &(tokens, cells)) in specs.iter().enumerate() {
        let image = cells.map(|cells| page(fold, cells, if i % 2 == 0 { Tint::White } else { Tint::Grey }));
        let patches = image.as_ref().map(|image| Patches::new(image, fold));
        let visual = patches.as_ref().map(|p| p.slots);
        document.pieces.push(match (visual, i + 1 == specs.len()) {
            (Some(visual), _) if tokens == 0 => Piece::Page { visual },
            (Some(visual), _) => Piece::Folded { tokens, visual },
            (None, true) => Piece::Open { tokens },
            (None, false) => Piece::Raw { tokens },
        });
        document.ids.push((0..tokens).map(|_| id()).collect());
        document.patches.push(patches.map_or(Vec::new(), |p| p.data));
        pages.push(image);
    }
    // Batched with a shorter document, so that padding is there to go wrong.
    let shorter = DocumentTokens {
        pieces: vec![Piece::Raw { tokens: 1 }, Piece::Open { tokens: 3 }],
        ids: vec![vec![0], vec![5, 6, 7]],
        patches: vec![Vec::new(); 2],
        ..DocumentTokens::default()
    };
    let model = model(config, seed);
    let heads = (config.text.num_attention_heads, config.text.num_key_value_heads);
    let batch = [shorter, document.clone()];
    let packed = Packed::<Flex>::new(
        &batch,
        fold.visual_sees_text,
        heads,
        fold.vision.patch_len(),
        &Default::default(),
    );
    let targets: Vec<_> = packed.targets.iter().filter(|t| t.document == 1).copied().collect();
    let hidden = model.forward(&packed);
    let trained: Vec<f32> = model.nll(&hidden, &targets).into_data().into_vec().unwrap();

    let mut runner = BurnRunner::new(model, Default::default(), "cpu");
    let mut stepped: Vec<f64> = Vec::new();
    let mut last: Option<Logits> = None;
    for ((ids, image), piece) in document.ids.iter().zip(&pages).zip(&document.pieces) {
        // Token by token, then the rest in one block: both must agree with the whole document at once.
        let (single, block) = ids.split_at(ids.len() / 2);
        for part in single.chunks(1).chain((!block.is_empty()).then_some(block)) {
            let logits = runner.extend(part, Want::All).wait().unwrap();
            if let Some(before) = &last {
                stepped.push(nll(before.last(), part[0]));
            }
            stepped.extend((1..part.len()).map(|i| nll(logits.row(i - 1), part[i])));
            last = Some(logits);
        }
        match image {
            Some(image) => {
                last = Some(
                    runner
                        .fold(std::slice::from_ref(image), Want::Last)
                        .wait()
                        .unwrap()
                        .logits,
                )
            }
            None if matches!(piece, Piece::Raw { .. }) => runner.keep_open(),
            None => {}
        }
    }
    assert_eq!(stepped.len(), trained.len());
    let differences = stepped.iter().zip(&trained).map(|(a, b)| (a - f64::from(*b)).abs());
    let worst = differences.fold(0.0, f64::max);
    assert!(
        worst <= BOUND,
        "largest difference {worst} nats over {} tokens",
        trained.len()
    );
}

const DOCUMENTS: [&[Spec]; 5] = [
    &[(1, None), (16, Some(60)), (16, Some(64)), (9, None)],
    // Short chunks, short pages, a raw tail in the middle.
    &[
        (1, None),
        (3, Some(5)),
        (16, Some(33)),
        (4, None),
        (16, Some(60)),
        (1, None),
    ],
    // A prompt's page without its text in the sequence.
    &[
        (1, None),
        (0, Some(50)),
        (0, Some(20)),
        (6, None),
        (16, Some(40)),
        (5, None),
    ],
    // No page at all; and nothing but a fold.
    &[(1, None), (16, None)],
    &[(1, None), (16, Some(64))],
];

#[test]
fn step_by_step_and_at_once_agree() {
    for sees_text in [false, true] {
        for skip in [false, true] {
            for (i, document) in DOCUMENTS.iter().enumerate() {
                compare(
                    &config(TextModelType::Qwen3, AlignerKind::Tanh, sees_text, skip),
                    document,
                    i as u64,
                );
            }
        }
    }
}

#[test]
fn every_decoder_shape_and_aligner_agrees() {
    for (shape, aligner) in [
        (TextModelType::Qwen2, AlignerKind::Linear),
        (TextModelType::Llama, AlignerKind::Mlp),
        (TextModelType::Qwen3, AlignerKind::Linear),
    ] {
        compare(&config(shape, aligner, false, true), DOCUMENTS[1], 7);
        compare(&config(shape, aligner, true, false), DOCUMENTS[0], 8);
    }
}

#[test]
fn pages_folded_in_one_batch_are_pages_folded_one_by_one() {
    let config = config(TextModelType::Qwen3, AlignerKind::Tanh, false, true);
    let fold = config.fold.as_ref().unwrap();
    let pages: Vec<PageImage> = [60, 12, 64, 31].iter().map(|&n| page(fold, n, Tint::White)).collect();
    let mut one = BurnRunner::new(model(&config, 3), Default::default(), "cpu");
    let mut all = BurnRunner::new(model(&config, 3), Default::default(), "cpu");
    for runner in [&mut one, &mut all] {
        runner.extend(&[0], Want::Nothing).wait().unwrap();
        runner.keep_open();
    }
    let mut last = Logits::default();
    for page in &pages {
        last = one.fold(std::slice::from_ref(page), Want::Last).wait().unwrap().logits;
    }
    let batch = all.fold(&pages, Want::Last).wait().unwrap();
    assert_eq!(one.context(), all.context());
    let worst = last
        .data
        .iter()
        .zip(&batch.logits.data)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn the_window_forgets_and_the_positions_go_on() {
    let config = config(TextModelType::Qwen3, AlignerKind::Tanh, false, true);
    let mut runner = BurnRunner::new(model(&config, 4), Default::default(), "cpu");
    let mut fresh = BurnRunner::new(model(&config, 4), Default::default(), "cpu");
    runner.extend(&[0, 5, 9, 14, 20, 7], Want::Nothing).wait().unwrap();
    runner.keep_open();
    runner.evict(4);
    assert_eq!((runner.context().slots(), runner.context().next_position()), (2, 6));
    let kept = runner.extend(&[33], Want::Last).wait().unwrap();
    // The same tokens seen from the start give something else: the forgotten slots were worth something.
    let whole = fresh.extend(&[0, 5, 9, 14, 20, 7, 33], Want::Last).wait().unwrap();
    assert_ne!(kept.data, whole.data);
    runner.evict(2);
    let alone = runner.extend(&[], Want::Nothing).wait().unwrap();
    assert_eq!(alone.rows(), 0);
    assert_eq!(runner.context().slots(), 1);
}

#[test]
fn what_cannot_be_done_leaves_the_context_as_it_was() {
    let config = config(TextModelType::Qwen3, AlignerKind::Tanh, false, true);
    let mut runner = BurnRunner::new(model(&config, 5), Default::default(), "cpu");
    runner.extend(&[0, 1, 2], Want::Nothing).wait().unwrap();
    let before = runner.context().clone();
    let error = runner.extend(&[3, 90], Want::Last).wait().unwrap_err().to_string();
    assert!(error.contains("90") && error.contains("vocabulary"), "{error}");
    let error = runner.extend(&[4; 298], Want::Last).wait().unwrap_err().to_string();
    assert!(error.contains("max_position_embeddings"), "{error}");
    assert_eq!(runner.context(), &before);
    let text_only = Config {
        fold: None,
        ..config.clone()
    };
    let mut runner = BurnRunner::new(
        Vist2::<Flex>::build(
            &text_only,
            &mut |s| Ok(init_tensor(&text_only, s, 1)),
            &Default::default(),
        )
        .unwrap(),
        Default::default(),
        "cpu",
    );
    let page = page(config.fold.as_ref().unwrap(), 10, Tint::White);
    let error = runner.fold(&[page], Want::Last).wait().unwrap_err().to_string();
    assert!(error.contains("text-only"), "{error}");
}

/// A checkpoint of 16 bits is held in 16 bits, and says what the same values in 32 say.
#[test]
fn weights_of_16_bits_compute_as_their_values_in_32() {
    for (model_type, half) in [
        (TextModelType::Qwen3, Dtype::F16),
        (TextModelType::Llama, Dtype::Bf16),
        (TextModelType::Qwen2, Dtype::Bf16),
    ] {
        let config = config(model_type, AlignerKind::Tanh, false, true);
        let rounded = |x: f32| match half {
            Dtype::F16 => f16::from_f32(x * 6.0).to_f32(),
            _ => bf16::from_f32(x * 6.0).to_f32(),
        };
        let open = |dtype| {
            let dir = tempfile::tempdir().unwrap();
            let values = &mut |spec: &TensorSpec| Ok(init_tensor(&config, spec, 3).into_iter().map(rounded).collect());
            write(dir.path(), &tensors(&config), dtype, values).unwrap();
            load_cpu(dir.path(), &config, &mut |_| {}).unwrap()
        };
        let (mut wide, mut narrow) = (open(Dtype::F32), open(half));
        // All but norms, encoder and aligner in half the bytes.
        let decoder: usize = tensors(&config)
            .iter()
            .filter(|spec| spec.is_matrix() && spec.name.starts_with("language_model."))
            .map(TensorSpec::elements)
            .sum();
        assert_eq!(wide.weight_bytes() - narrow.weight_bytes(), 2 * decoder);
        say_the_same(wide.as_mut(), narrow.as_mut(), 1e-5);
    }
}

/// Two runners read a text, fold a page and write on: their logits differ by `bound` of the largest at most.
fn say_the_same(one: &mut dyn Runner, other: &mut dyn Runner, bound: f32) {
    let image = page(one.config().fold.as_ref().unwrap(), 40, Tint::White);
    let ids: Vec<u32> = (0..12).map(|i| i * 7 % 90).collect();
    let mut both = |run: &mut dyn FnMut(&mut dyn Runner) -> Logits| {
        let (a, b) = (run(one), run(other));
        assert_eq!(a.data.len(), b.data.len());
        let most = a.data.iter().fold(0f32, |m, x| m.max(x.abs()));
        let off = a.data.iter().zip(&b.data).map(|(x, y)| (x - y).abs());
        let off = off.fold(0f32, f32::max);
        assert!(off <= bound * most, "{off} of {most}");
    };
    both(&mut |r| r.extend(&ids, Want::All).wait().unwrap());
    both(&mut |r| r.fold(std::slice::from_ref(&image), Want::Last).wait().unwrap().logits);
    for id in [5, 60, 17] {
        both(&mut |r| r.extend(&[id], Want::Last).wait().unwrap());
    }
}

/// Matrices of blocks are held as stored, and say what the same values in 32 bits say; the table of embeddings, which is the
/// head too, among them.
#[test]
fn weights_of_blocks_compute_as_their_values_in_32() {
    for (model_type, stored) in [
        (TextModelType::Qwen3, StoredType::Q8_0),
        (TextModelType::Llama, StoredType::Q4_0),
        (TextModelType::Qwen2, StoredType::Q8_0),
    ] {
        let config = config(model_type, AlignerKind::Tanh, false, true);
        let specs = tensors(&config);
        let [packed, plain] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write_stored(packed.path(), &specs, stored, u64::MAX, &mut |spec, to| {
            to.push(
                &init_tensor(&config, spec, 3)
                    .into_iter()
                    .map(|x| x * 6.0)
                    .collect::<Vec<_>>(),
            )
        })
        .unwrap();
        let checkpoint = Checkpoint::open(packed.path()).unwrap();
        write(plain.path(), &specs, Dtype::F32, &mut |spec| checkpoint.read_f32(spec)).unwrap();
        let open = |dir: &tempfile::TempDir| load_cpu(dir.path(), &config, &mut |_| {}).unwrap();
        let (mut wide, mut narrow) = (open(&plain), open(&packed));
        let decoder = specs
            .iter()
            .filter(|spec| spec.is_matrix() && spec.name.starts_with("language_model."));
        let saved: usize = decoder
            .map(|spec| {
                let kind = checkpoint.stored_type(spec).unwrap();
                4 * spec.elements() - spec.rows() * kind.row_bytes(spec.columns()).unwrap()
            })
            .sum();
        assert_eq!(wide.weight_bytes() - narrow.weight_bytes(), saved);
        say_the_same(wide.as_mut(), narrow.as_mut(), 1e-5);
    }
}

/// Keys and values of 16 bits take half the bytes and say nearly the same, folds and raw segments included.
#[test]
fn keys_and_values_of_16_bits() {
    let config = config(TextModelType::Qwen3, AlignerKind::Tanh, true, true);
    let dir = tempfile::tempdir().unwrap();
    let values = &mut |spec: &TensorSpec| Ok(init_tensor(&config, spec, 3).into_iter().map(|x| x * 6.0).collect());
    write(dir.path(), &tensors(&config), Dtype::F32, values).unwrap();
    let open = |kv| load_cpu_with(dir.path(), &config, kv, &mut |_| {}).unwrap();
    let (mut wide, mut narrow) = (open(KvType::F32), open(KvType::F16));
    assert_eq!(wide.kv_bytes_per_slot(), 2 * narrow.kv_bytes_per_slot());
    for runner in [&mut wide, &mut narrow] {
        runner.extend(&[1, 2, 3], Want::Nothing).wait().unwrap();
        runner.keep_open();
    }
    // Weights six times as large as at initialisation make more of the rounding; a row or position that is wrong moves
    // logits by a tenth of the largest and more.
    say_the_same(wide.as_mut(), narrow.as_mut(), 1e-2);
}
