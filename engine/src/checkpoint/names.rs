//! Every tensor that a configuration calls for, by its Hugging Face name (design.md, "Checkpoint").

use crate::config::{AlignerKind, Config, FoldConfig, PageEncoder, TextConfig, VisionConfig};

/// Name and shape of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Full name, as in the file.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows: the outermost dimension. A vector has one row a value.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Values in a row: all other dimensions, flattened (the patch embedding's row is one patch's weights).
    pub fn columns(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Whether it is the matrix of a linear layer or a table of token embeddings, `[out, in]`: what quantisation is for.
    /// Norms, biases, the aligner's scale, convolutions over tokens and the position embedding (which is added, not multiplied by) are not.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() > 1 && self.shape.len() != 3 && !self.name.ends_with("position_embedding.weight")
    }
}

/// The prefix of the decoder's tensors: none in a text-only model, whose names are plain Hugging Face ones.
pub fn text_prefix(config: &Config) -> &'static str {
    if config.fold.is_some() { "language_model." } else { "" }
}

/// The tensors of a model, in a fixed order: decoder, vision encoder (or what stands for it), aligner. Linear weights are `[out, in]`.
pub fn tensors(config: &Config) -> Vec<TensorSpec> {
    let mut list = Vec::new();
    text(&mut list, text_prefix(config), &config.text);
    if let Some(fold) = &config.fold {
        let d = config.text.hidden_size;
        match fold.page_encoder {
            PageEncoder::Vision => {
                vision(&mut list, &fold.vision);
                aligner(&mut list, fold, d);
            }
            PageEncoder::MeanPool => {}
            PageEncoder::ConvPyramid => {
                // As PyTorch's: [out, in, kernel].
                let width = fold.vision.hidden_size;
                add_with_bias(&mut list, "page_encoder.conv.0", &[width, d, 4]);
                add_with_bias(&mut list, "page_encoder.conv.1", &[width, width, 4]);
                aligner(&mut list, fold, d);
            }
        }
    }
    list
}

fn add(list: &mut Vec<TensorSpec>, name: String, shape: &[usize]) {
    list.push(TensorSpec {
        name,
        shape: shape.to_vec(),
    });
}

/// A layer with a bias: a linear one, or (`shape` = `[width]`) a LayerNorm.
fn add_with_bias(list: &mut Vec<TensorSpec>, name: &str, shape: &[usize]) {
    add(list, format!("{name}.weight"), shape);
    add(list, format!("{name}.bias"), &shape[..1]);
}

fn text(list: &mut Vec<TensorSpec>, prefix: &str, t: &TextConfig) {
    let d = t.hidden_size;
    add(list, format!("{prefix}model.embed_tokens.weight"), &[t.vocab_size, d]);
    for i in 0..t.num_hidden_layers {
        let layer = format!("{prefix}model.layers.{i}.");
        add(list, format!("{layer}input_layernorm.weight"), &[d]);
        for (name, width) in [("q_proj", t.q_size()), ("k_proj", t.kv_size()), ("v_proj", t.kv_size())] {
            add(list, format!("{layer}self_attn.{name}.weight"), &[width, d]);
            if t.qkv_bias() {
                add(list, format!("{layer}self_attn.{name}.bias"), &[width]);
            }
        }
        add(list, format!("{layer}self_attn.o_proj.weight"), &[d, t.q_size()]);
        if t.qk_norm() {
            add(list, format!("{layer}self_attn.q_norm.weight"), &[t.head_dim]);
            add(list, format!("{layer}self_attn.k_norm.weight"), &[t.head_dim]);
        }
        add(list, format!("{layer}post_attention_layernorm.weight"), &[d]);
        add(list, format!("{layer}mlp.gate_proj.weight"), &[t.intermediate_size, d]);
        add(list, format!("{layer}mlp.up_proj.weight"), &[t.intermediate_size, d]);
        add(list, format!("{layer}mlp.down_proj.weight"), &[d, t.intermediate_size]);
    }
    add(list, format!("{prefix}model.norm.weight"), &[d]);
    if !t.tie_word_embeddings {
        add(list, format!("{prefix}lm_head.weight"), &[t.vocab_size, d]);
    }
}

fn vision(list: &mut Vec<TensorSpec>, v: &VisionConfig) {
    let d = v.hidden_size;
    let model = "vision_tower.vision_model.";
    let patch = [d, v.num_channels, v.patch_height, v.patch_width];
    add_with_bias(list, &format!("{model}embeddings.patch_embedding"), &patch);
    add(
        list,
        format!("{model}embeddings.position_embedding.weight"),
        &[v.num_patches(), d],
    );
    for i in 0..v.num_hidden_layers {
        let layer = format!("{model}encoder.layers.{i}.");
        add_with_bias(list, &format!("{layer}layer_norm1"), &[d]);
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add_with_bias(list, &format!("{layer}self_attn.{name}"), &[d, d]);
        }
        add_with_bias(list, &format!("{layer}layer_norm2"), &[d]);
        add_with_bias(list, &format!("{layer}mlp.fc1"), &[v.intermediate_size, d]);
        add_with_bias(list, &format!("{layer}mlp.fc2"), &[d, v.intermediate_size]);
    }
    add_with_bias(list, &format!("{model}post_layernorm"), &[d]);
}

fn aligner(list: &mut Vec<TensorSpec>, fold: &FoldConfig, d_text: usize) {
    let d_vision = fold.vision.hidden_size;
    match fold.aligner.kind {
        AlignerKind::Mlp => {
            // A valid configuration has the width; see `Config::validate`.
            let hidden = fold.aligner.hidden_size.unwrap_or(d_text);
            add_with_bias(list, "aligner.linear_1", &[hidden, d_vision]);
            add_with_bias(list, "aligner.linear_2", &[d_text, hidden]);
        }
        kind => {
            add_with_bias(list, "aligner", &[d_text, d_vision]);
            if kind == AlignerKind::Tanh {
                add(list, "aligner.scale".into(), &[1]);
            }
        }
    }
}
