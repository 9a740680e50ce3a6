//! Building the modules from named tensors.

use super::aligner::Aligner;
use super::decoder::{Decoder, DecoderLayer, LanguageModel, Mlp, SelfAttention};
use super::fused::{Fused, wrap};
use super::linear::{Embedding, Linear};
use super::norm::{LayerNorm, RmsNorm};
use super::page_encoder::{Conv, ConvPyramid};
use super::vision::{
    PatchEmbedding, VisionAttention, VisionEmbeddings, VisionEncoder, VisionLayer, VisionMlp, VisionModel, VisionTower,
};
use super::vist2::Vist2;
use crate::Result;
use crate::checkpoint::TensorSpec;
use crate::config::{AlignerConfig, AlignerKind, Config, FoldConfig, PageEncoder, TextConfig};
use burn::module::Param;
use burn::tensor::{DType, Tensor, TensorData};
use half::{bf16, f16};

/// Where weights come from: a checkpoint, or an initialiser.
pub type Source<'a> = dyn FnMut(&TensorSpec) -> Result<Vec<f32>> + 'a;

/// The values of a tensor, in the type that the model is to hold them in.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats: see [`super::load_cpu`].
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
    /// A matrix of blocks that share a scale, as in a file: row after row of so many bytes.
    Blocks {
        /// All rows.
        bytes: Vec<u8>,
        /// Bytes of a row.
        row: usize,
    },
}

struct Builder<'a, 's, B: Fused> {
    source: &'a mut (dyn FnMut(&TensorSpec) -> Result<Values> + 's),
    device: &'a B::Device,
}

impl<B: Fused> Vist2<B> {
    /// Builds the model of `config`, asking `source` for each tensor once, in the order of use.
    ///
    /// # Errors
    /// Whatever `source` gives.
    pub fn build(config: &Config, source: &mut Source<'_>, device: &B::Device) -> Result<Self> {
        Self::build_with(config, &mut |spec| source(spec).map(Values::F32), device)
    }

    /// As [`Self::build`], each tensor in a type of its own.
    ///
    /// # Errors
    /// Whatever `source` gives.
    pub fn build_with(
        config: &Config,
        source: &mut dyn FnMut(&TensorSpec) -> Result<Values>,
        device: &B::Device,
    ) -> Result<Self> {
        let mut b = Builder::<B> { source, device };
        let prefix = if config.fold.is_some() { "language_model." } else { "" };
        let language_model = b.language_model(prefix, &config.text)?;
        let (mut vision_tower, mut page_encoder, mut aligner) = (None, None, None);
        if let Some(fold) = &config.fold {
            let (d, width) = (config.text.hidden_size, fold.vision.hidden_size);
            match fold.page_encoder {
                PageEncoder::Vision => {
                    let vision_model = b.vision_model("vision_tower.vision_model", fold)?;
                    vision_tower = Some(VisionTower { vision_model });
                }
                PageEncoder::MeanPool => {}
                PageEncoder::ConvPyramid => {
                    let conv = vec![
                        b.conv("page_encoder.conv.0", d, width)?,
                        b.conv("page_encoder.conv.1", width, width)?,
                    ];
                    page_encoder = Some(ConvPyramid { conv });
                }
            }
            if fold.page_encoder != PageEncoder::MeanPool {
                aligner = Some(b.aligner(&fold.aligner, d, width)?);
            }
        }
        Ok(Self {
            language_model,
            vision_tower,
            page_encoder,
            aligner,
            config: config.clone(),
        })
    }
}

impl<B: Fused> Builder<'_, '_, B> {
    fn param<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<B, D>>> {
        let values = (self.source)(&TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
        })?;
        let tensor = match values {
            Values::F32(values) => Tensor::from_data(TensorData::new(values, shape), self.device),
            Values::F16(values) => Tensor::from_data(TensorData::new(values, shape), (self.device, DType::F16)),
            Values::Bf16(values) => Tensor::from_data(TensorData::new(values, shape), (self.device, DType::BF16)),
            Values::Blocks { bytes, row } => wrap(B::blocks(bytes, [shape[0], row], self.device)),
        };
        Ok(Param::from_tensor(tensor))
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear<B>> {
        let weight = self.param(&format!("{name}.weight"), [outputs, inputs])?;
        let bias = if bias {
            Some(self.param(&format!("{name}.bias"), [outputs])?)
        } else {
            None
        };
        Ok(Linear { weight, bias })
    }

    fn conv(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Conv<B>> {
        let weight = self.param(&format!("{name}.weight"), [outputs, inputs, 4])?;
        let bias = self.param(&format!("{name}.bias"), [outputs])?;
        Ok(Conv { weight, bias })
    }

    fn rms_norm(&mut self, name: &str, width: usize, eps: f64) -> Result<RmsNorm<B>> {
        Ok(RmsNorm::new(self.param(&format!("{name}.weight"), [width])?, eps))
    }

    fn layer_norm(&mut self, name: &str, width: usize, eps: f64) -> Result<LayerNorm<B>> {
        let weight = self.param(&format!("{name}.weight"), [width])?;
        Ok(LayerNorm::new(
            weight,
            self.param(&format!("{name}.bias"), [width])?,
            eps,
        ))
    }

    fn language_model(&mut self, prefix: &str, c: &TextConfig) -> Result<LanguageModel<B>> {
        let (d, eps) = (c.hidden_size, c.rms_norm_eps);
        let weight = self.param(&format!("{prefix}model.embed_tokens.weight"), [c.vocab_size, d])?;
        let embed_tokens = Embedding { weight, width: d };
        let mut layers = Vec::with_capacity(c.num_hidden_layers);
        for i in 0..c.num_hidden_layers {
            let p = format!("{prefix}model.layers.{i}");
            let input_layernorm = self.rms_norm(&format!("{p}.input_layernorm"), d, eps)?;
            let a = format!("{p}.self_attn");
            let bias = c.qkv_bias();
            let q_proj = self.linear(&format!("{a}.q_proj"), d, c.q_size(), bias)?;
            let k_proj = self.linear(&format!("{a}.k_proj"), d, c.kv_size(), bias)?;
            let v_proj = self.linear(&format!("{a}.v_proj"), d, c.kv_size(), bias)?;
            let o_proj = self.linear(&format!("{a}.o_proj"), c.q_size(), d, false)?;
            let (q_norm, k_norm) = if c.qk_norm() {
                let q = self.rms_norm(&format!("{a}.q_norm"), c.head_dim, eps)?;
                (Some(q), Some(self.rms_norm(&format!("{a}.k_norm"), c.head_dim, eps)?))
            } else {
                (None, None)
            };
            let self_attn = SelfAttention {
                q_proj,
                k_proj,
                v_proj,
                o_proj,
                q_norm,
                k_norm,
                head_dim: c.head_dim,
            };
            let post_attention_layernorm = self.rms_norm(&format!("{p}.post_attention_layernorm"), d, eps)?;
            let mlp = Mlp {
                gate_proj: self.linear(&format!("{p}.mlp.gate_proj"), d, c.intermediate_size, false)?,
                up_proj: self.linear(&format!("{p}.mlp.up_proj"), d, c.intermediate_size, false)?,
                down_proj: self.linear(&format!("{p}.mlp.down_proj"), c.intermediate_size, d, false)?,
            };
            layers.push(DecoderLayer {
                input_layernorm,
                self_attn,
                post_attention_layernorm,
                mlp,
            });
        }
        let norm = self.rms_norm(&format!("{prefix}model.norm"), d, eps)?;
        let lm_head = match c.tie_word_embeddings {
            true => None,
            false => Some(self.linear(&format!("{prefix}lm_head"), d, c.vocab_size, false)?),
        };
        Ok(LanguageModel {
            model: Decoder {
                embed_tokens,
                layers,
                norm,
            },
            lm_head,
        })
    }

    fn vision_model(&mut self, p: &str, fold: &FoldConfig) -> Result<VisionModel<B>> {
        let c = &fold.vision;
        let (d, eps) = (c.hidden_size, c.layer_norm_eps);
        let weight = self.param(
            &format!("{p}.embeddings.patch_embedding.weight"),
            [d, c.num_channels, c.patch_height, c.patch_width],
        )?;
        let bias = self.param(&format!("{p}.embeddings.patch_embedding.bias"), [d])?;
        let position = self.param(
            &format!("{p}.embeddings.position_embedding.weight"),
            [c.num_patches(), d],
        )?;
        let embeddings = VisionEmbeddings {
            patch_embedding: PatchEmbedding { weight, bias },
            position_embedding: Embedding {
                weight: position,
                width: d,
            },
        };
        let mut layers = Vec::with_capacity(c.num_hidden_layers);
        for i in 0..c.num_hidden_layers {
            let p = format!("{p}.encoder.layers.{i}");
            let layer_norm1 = self.layer_norm(&format!("{p}.layer_norm1"), d, eps)?;
            let self_attn = VisionAttention {
                q_proj: self.linear(&format!("{p}.self_attn.q_proj"), d, d, true)?,
                k_proj: self.linear(&format!("{p}.self_attn.k_proj"), d, d, true)?,
                v_proj: self.linear(&format!("{p}.self_attn.v_proj"), d, d, true)?,
                out_proj: self.linear(&format!("{p}.self_attn.out_proj"), d, d, true)?,
                heads: c.num_attention_heads,
            };
            let layer_norm2 = self.layer_norm(&format!("{p}.layer_norm2"), d, eps)?;
            let mlp = VisionMlp {
                fc1: self.linear(&format!("{p}.mlp.fc1"), d, c.intermediate_size, true)?,
                fc2: self.linear(&format!("{p}.mlp.fc2"), c.intermediate_size, d, true)?,
            };
            layers.push(VisionLayer {
                layer_norm1,
                self_attn,
                layer_norm2,
                mlp,
            });
        }
        let post_layernorm = self.layer_norm(&format!("{p}.post_layernorm"), d, eps)?;
        Ok(VisionModel {
            embeddings,
            encoder: VisionEncoder { layers },
            post_layernorm,
        })
    }

    fn aligner(&mut self, c: &AlignerConfig, text: usize, vision: usize) -> Result<Aligner<B>> {
        let mut aligner = Aligner {
            weight: None,
            bias: None,
            scale: None,
            linear_1: None,
            linear_2: None,
            kind: c.kind,
        };
        if c.kind == AlignerKind::Mlp {
            let hidden = c.hidden_size.unwrap_or(text);
            aligner.linear_1 = Some(self.linear("aligner.linear_1", vision, hidden, true)?);
            aligner.linear_2 = Some(self.linear("aligner.linear_2", hidden, text, true)?);
        } else {
            aligner.weight = Some(self.param("aligner.weight", [text, vision])?);
            aligner.bias = Some(self.param("aligner.bias", [text])?);
            if c.kind == AlignerKind::Tanh {
                aligner.scale = Some(self.param("aligner.scale", [1])?);
            }
        }
        Ok(aligner)
    }
}
