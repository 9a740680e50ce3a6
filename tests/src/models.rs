//! Tiny random models of every shape that a checkpoint can have.

use folio_engine::Wait;
use folio_engine::checkpoint::{TensorSpec, init_tensor};
use folio_engine::config::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig,
};
use folio_engine::gpu::{Formula, GpuRunner, Limits, Machine, TensorSource};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What every adapter must have at least.
pub const FLOOR: Limits = Limits {
    binding_bytes: 128 << 20,
    memory_bytes: None,
    grid: 65_535,
};

/// Qwen3 with strips: 258 ids, K = 16, β = 8.
pub fn base() -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 258,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 8,
            max_position_embeddings: 3000,
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
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

fn with(change: impl FnOnce(&mut TextConfig, &mut FoldConfig)) -> Config {
    let mut config = base();
    if let Some(fold) = &mut config.fold {
        change(&mut config.text, fold);
    }
    config.validate("a model of the tests").unwrap();
    config
}

fn aligner(kind: AlignerKind, hidden: usize) -> AlignerConfig {
    AlignerConfig {
        kind,
        hidden_size: (kind == AlignerKind::Mlp).then_some(hidden),
    }
}

/// Models that together have every shape, mask and part.
pub fn all() -> Vec<(&'static str, Config)> {
    let mut text_only = base();
    text_only.fold = None;
    text_only.text.tie_word_embeddings = false;
    vec![
        ("qwen3", base()),
        ("qwen3, visual_sees_text", with(|_, fold| fold.visual_sees_text = true)),
        (
            "qwen2 with bias, mlp aligner, blank patches kept",
            with(|text, fold| {
                text.model_type = TextModelType::Qwen2;
                fold.aligner = aligner(AlignerKind::Mlp, 20);
                fold.skip_blank_patches = false;
            }),
        ),
        (
            "llama, untied, tanh aligner, sees text, blank patches kept",
            with(|text, fold| {
                text.model_type = TextModelType::Llama;
                text.tie_word_embeddings = false;
                text.num_key_value_heads = 1;
                fold.aligner = aligner(AlignerKind::Tanh, 0);
                fold.visual_sees_text = true;
                fold.skip_blank_patches = false;
            }),
        ),
        (
            "siglip: square patches, three channels",
            with(|text, fold| {
                text.model_type = TextModelType::Llama;
                fold.vision.num_channels = 3;
                (fold.vision.patch_width, fold.vision.patch_height) = (16, 16);
                fold.visual_tokens = 16;
            }),
        ),
        (
            "odd sizes, as many key heads as heads",
            with(|text, fold| {
                text.vocab_size = 259;
                (text.hidden_size, text.intermediate_size) = (36, 68);
                (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (3, 3, 12);
                (fold.vision.hidden_size, fold.vision.intermediate_size) = (20, 52);
                fold.vision.num_attention_heads = 5;
                fold.aligner = aligner(AlignerKind::Mlp, 28);
            }),
        ),
        (
            "heads of 128, groups of four",
            with(|text, fold| {
                (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (4, 1, 128);
                text.num_hidden_layers = 2;
                (fold.vision.hidden_size, fold.vision.num_attention_heads) = (64, 1);
            }),
        ),
        ("text only, untied", text_only),
    ]
}

/// A model whose embedding, fused QKV and gated matrices are larger than `binding_bytes`, which its KV and scratch are not.
pub fn wide() -> (Config, u64) {
    let config = with(|text, fold| {
        text.model_type = TextModelType::Qwen2;
        text.vocab_size = 1000;
        (text.hidden_size, text.intermediate_size) = (640, 640);
        (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (10, 2, 64);
        text.num_hidden_layers = 1;
        (fold.page.cell_height, fold.page.font_px) = (8, 7.0);
        (fold.vision.patch_width, fold.vision.patch_height) = (16, 8);
        (fold.vision.image_width, fold.vision.image_height) = (32, 32);
    });
    // The widest scratch buffer: 512 rows of queries, keys and values.
    (config, 4 * 512 * (10 + 2 * 2) * 64)
}

/// A model whose matrices have whole blocks of 32, so that all of them are quantised.
pub fn blocks() -> Config {
    with(|text, fold| {
        (text.hidden_size, text.intermediate_size) = (64, 96);
        (text.num_attention_heads, text.num_key_value_heads, text.head_dim) = (4, 2, 16);
        (fold.vision.hidden_size, fold.vision.intermediate_size) = (32, 64);
        fold.vision.num_attention_heads = 2;
        fold.aligner = aligner(AlignerKind::Mlp, 32);
    })
}

/// Random values of a tensor: larger than at initialisation, so that a wrong mask or position shows, and norms and biases
/// that are not 1 and 0.
pub fn weights(config: &Config, spec: &TensorSpec, seed: u64) -> Vec<f32> {
    let mut values = init_tensor(config, spec, seed);
    if spec.name.ends_with("bias") || (spec.shape.len() == 1 && spec.name != "aligner.scale") {
        let name: u64 = spec.name.bytes().map(u64::from).sum();
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ name);
        values.iter_mut().for_each(|v| *v += random.random_range(-0.3..0.3));
    } else {
        values.iter_mut().for_each(|v| *v *= 6.0);
    }
    values
}

/// The CPU runner with [`weights`].
#[cfg(feature = "burn")]
pub fn cpu(config: &Config, seed: u64) -> Box<dyn folio_engine::runner::Runner> {
    cpu_with(config, |spec| weights(config, spec, seed))
}

/// The CPU runner with these values.
#[cfg(feature = "burn")]
pub fn cpu_with(config: &Config, values: impl Fn(&TensorSpec) -> Vec<f32>) -> Box<dyn folio_engine::runner::Runner> {
    use folio_engine::model::{BurnRunner, Vist2};
    let device = Default::default();
    let model = Vist2::<burn_flex::Flex>::build(config, &mut |spec| Ok(values(spec)), &device).unwrap();
    Box::new(BurnRunner::new(model, device, "cpu (flex)"))
}

/// `config` cut off after so many layers of the decoder and of the encoder; it has a head of its own.
pub fn cut(config: &Config, layers: usize, encoder_layers: usize) -> Config {
    let mut config = config.clone();
    config.text.num_hidden_layers = layers;
    config.text.tie_word_embeddings = false;
    if let Some(fold) = &mut config.fold {
        fold.vision.num_hidden_layers = encoder_layers;
    }
    config.validate("a cut model of the tests").unwrap();
    config
}

/// As [`weights`], but the head copies: the first logits are the hidden state after the last layer, normed without weights.
pub fn open_weights(config: &Config, spec: &TensorSpec, seed: u64) -> Vec<f32> {
    if spec.name.ends_with("lm_head.weight") {
        let width = spec.shape[1];
        let mut values = vec![0.0; spec.shape[0] * width];
        values.iter_mut().step_by(width + 1).take(width).for_each(|v| *v = 1.0);
        return values;
    }
    if spec.name.ends_with("model.norm.weight") {
        return vec![1.0; spec.shape[0]];
    }
    weights(config, spec, seed)
}

/// The same model's weights for a machine.
pub fn source(config: &Config, seed: u64) -> Box<dyn TensorSource> {
    let config = config.clone();
    Box::new(Formula(move |spec: &TensorSpec| weights(&config, spec, seed)))
}

/// The runner over `machine` with [`weights`].
pub fn on<M: Machine>(machine: M, config: &Config, seed: u64) -> GpuRunner<M> {
    GpuRunner::new(machine, config, source(config, seed), 0, &mut |_, _| {})
        .wait()
        .unwrap()
}
