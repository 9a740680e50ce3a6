//! A checkpoint's tensors on a machine, as the program uses them.

use super::machine::Machine;
use super::matrix::Matrix;
use super::recording::Buffer;
use super::source::TensorSource;
use super::upload::Uploader;
use crate::checkpoint::{TensorSpec, tensors, text_prefix};
use crate::config::{AlignerKind, Config, FoldConfig};
use crate::{Error, Result};
use std::collections::HashMap;

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Buffer>,
}

/// One decoder block.
#[derive(Debug)]
pub(super) struct DecoderLayer {
    pub(super) input_norm: Buffer,
    /// Query, key and value rows in one matrix.
    pub(super) qkv: Linear,
    /// Weights of the query and key norms, one after the other (Qwen3).
    pub(super) head_norms: Option<Buffer>,
    pub(super) o: Linear,
    pub(super) post_norm: Buffer,
    /// Gate and up rows in one matrix.
    pub(super) gate_up: Matrix,
    pub(super) down: Linear,
}

/// Weight and bias of a LayerNorm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Buffer,
    pub(super) bias: Buffer,
}

/// One encoder block.
#[derive(Debug)]
pub(super) struct VisionLayer {
    pub(super) norm1: Norm,
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    pub(super) norm2: Norm,
    pub(super) fc1: Linear,
    pub(super) fc2: Linear,
}

/// The vision encoder and the aligner.
#[derive(Debug)]
pub(super) struct Vision {
    pub(super) patch: Linear,
    pub(super) position: Buffer,
    pub(super) layers: Vec<VisionLayer>,
    pub(super) post_norm: Norm,
    /// `linear_1` of an `mlp` aligner.
    pub(super) align_first: Option<Linear>,
    pub(super) align: Linear,
    /// `aligner.scale` (tanh).
    pub(super) align_scale: f32,
}

/// All weights.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embed: Matrix,
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) norm: Buffer,
    /// The output head, unless it is the embedding table.
    pub(super) head: Option<Matrix>,
    pub(super) vision: Option<Vision>,
    /// Bytes on the machine.
    pub(super) bytes: u64,
}

struct Loader<'a, 'm, M> {
    up: Uploader<'m, M>,
    source: &'a dyn TensorSource,
    specs: HashMap<String, TensorSpec>,
}

impl Weights {
    /// Uploads every tensor of `config`. `progress` hears the share of parameters sent.
    ///
    /// # Errors
    /// What `source` gives; a machine without room; shapes that the kernels cannot do.
    pub(super) async fn load<M: Machine>(
        machine: &mut M,
        config: &Config,
        source: &dyn TensorSource,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Self> {
        let list = tensors(config);
        let total = list.iter().map(|spec| spec.elements() as u64).sum();
        let before = machine.counts().buffer_bytes;
        let mut loader = Loader {
            up: Uploader {
                machine,
                done: 0,
                total,
                progress,
            },
            source,
            specs: list.into_iter().map(|spec| (spec.name.clone(), spec)).collect(),
        };
        let mut weights = loader.all(config).await?;
        weights.bytes = loader.up.machine.counts().buffer_bytes - before;
        Ok(weights)
    }
}

impl<M: Machine> Loader<'_, '_, M> {
    async fn all(&mut self, config: &Config) -> Result<Weights> {
        let (text, prefix) = (&config.text, text_prefix(config));
        let embed = self
            .matrix(&[&format!("{prefix}model.embed_tokens.weight")], false)
            .await?;
        let mut layers = Vec::with_capacity(text.num_hidden_layers);
        for i in 0..text.num_hidden_layers {
            let at = format!("{prefix}model.layers.{i}.");
            let qkv = ["q", "k", "v"].map(|name| format!("{at}self_attn.{name}_proj"));
            let head_norms = ["q", "k"].map(|name| format!("{at}self_attn.{name}_norm.weight"));
            let gate_up = ["gate", "up"].map(|name| format!("{at}mlp.{name}_proj.weight"));
            layers.push(DecoderLayer {
                input_norm: self.vector(&[&format!("{at}input_layernorm.weight")]).await?,
                qkv: self
                    .linear(&qkv.each_ref().map(String::as_str), text.qkv_bias())
                    .await?,
                head_norms: match text.qk_norm() {
                    true => Some(self.vector(&head_norms.each_ref().map(String::as_str)).await?),
                    false => None,
                },
                o: self.linear(&[&format!("{at}self_attn.o_proj")], false).await?,
                post_norm: self.vector(&[&format!("{at}post_attention_layernorm.weight")]).await?,
                gate_up: self.matrix(&gate_up.each_ref().map(String::as_str), true).await?,
                down: self.linear(&[&format!("{at}mlp.down_proj")], false).await?,
            });
        }
        Ok(Weights {
            embed,
            layers,
            norm: self.vector(&[&format!("{prefix}model.norm.weight")]).await?,
            head: match text.tie_word_embeddings {
                true => None,
                false => Some(self.matrix(&[&format!("{prefix}lm_head.weight")], false).await?),
            },
            vision: match &config.fold {
                Some(fold) => Some(self.vision(fold).await?),
                None => None,
            },
            bytes: 0,
        })
    }

    async fn vision(&mut self, fold: &FoldConfig) -> Result<Vision> {
        let model = "vision_tower.vision_model.";
        let patch = self
            .linear(&[&format!("{model}embeddings.patch_embedding")], true)
            .await?;
        let position = self
            .vector(&[&format!("{model}embeddings.position_embedding.weight")])
            .await?;
        let mut layers = Vec::with_capacity(fold.vision.num_hidden_layers);
        for i in 0..fold.vision.num_hidden_layers {
            let at = format!("{model}encoder.layers.{i}.");
            let qkv = ["q", "k", "v"].map(|name| format!("{at}self_attn.{name}_proj"));
            layers.push(VisionLayer {
                norm1: self.norm(&format!("{at}layer_norm1")).await?,
                qkv: self.linear(&qkv.each_ref().map(String::as_str), true).await?,
                out: self.linear(&[&format!("{at}self_attn.out_proj")], true).await?,
                norm2: self.norm(&format!("{at}layer_norm2")).await?,
                fc1: self.linear(&[&format!("{at}mlp.fc1")], true).await?,
                fc2: self.linear(&[&format!("{at}mlp.fc2")], true).await?,
            });
        }
        let post_norm = self.norm(&format!("{model}post_layernorm")).await?;
        let (align_first, align) = match fold.aligner.kind {
            AlignerKind::Mlp => (
                Some(self.linear(&["aligner.linear_1"], true).await?),
                self.linear(&["aligner.linear_2"], true).await?,
            ),
            _ => (None, self.linear(&["aligner"], true).await?),
        };
        let align_scale = match fold.aligner.kind {
            AlignerKind::Tanh => {
                let spec = self.spec("aligner.scale")?.clone();
                self.arrived(std::slice::from_ref(&spec)).await?;
                self.source.values(&spec)?[0]
            }
            _ => 1.0,
        };
        Ok(Vision {
            patch,
            position,
            layers,
            post_norm,
            align_first,
            align,
            align_scale,
        })
    }

    fn spec(&self, name: &str) -> Result<&TensorSpec> {
        self.specs
            .get(name)
            .ok_or_else(|| Error::Gpu(format!("tensor {name} is not in the list of the model's tensors")))
    }

    async fn arrived(&self, specs: &[TensorSpec]) -> Result<()> {
        for spec in specs {
            self.source.arrived(spec).await?;
        }
        Ok(())
    }

    async fn vector(&mut self, names: &[&str]) -> Result<Buffer> {
        let specs: Vec<TensorSpec> = names.iter().map(|n| self.spec(n).cloned()).collect::<Result<_>>()?;
        self.arrived(&specs).await?;
        self.up.vector(self.source, &specs.iter().collect::<Vec<_>>())
    }

    async fn matrix(&mut self, names: &[&str], gated: bool) -> Result<Matrix> {
        let specs: Vec<TensorSpec> = names.iter().map(|n| self.spec(n).cloned()).collect::<Result<_>>()?;
        self.arrived(&specs).await?;
        Matrix::load(&mut self.up, self.source, &specs.iter().collect::<Vec<_>>(), gated)
    }

    async fn linear(&mut self, names: &[&str], bias: bool) -> Result<Linear> {
        let named = |what: &str| names.iter().map(|n| format!("{n}.{what}")).collect::<Vec<_>>();
        let weights = named("weight");
        let biases = named("bias");
        Ok(Linear {
            matrix: self
                .matrix(&weights.iter().map(String::as_str).collect::<Vec<_>>(), false)
                .await?,
            bias: match bias {
                true => Some(
                    self.vector(&biases.iter().map(String::as_str).collect::<Vec<_>>())
                        .await?,
                ),
                false => None,
            },
        })
    }

    async fn norm(&mut self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.vector(&[&format!("{name}.weight")]).await?,
            bias: self.vector(&[&format!("{name}.bias")]).await?,
        })
    }
}

impl Linear {
    fn buffers(&self) -> impl Iterator<Item = Buffer> {
        self.matrix.buffers().chain(self.bias)
    }
}

impl Norm {
    fn buffers(&self) -> [Buffer; 2] {
        [self.weight, self.bias]
    }
}

impl Weights {
    /// Every buffer.
    pub(super) fn buffers(&self) -> Vec<Buffer> {
        let mut all: Vec<Buffer> = self.embed.buffers().collect();
        all.push(self.norm);
        all.extend(self.head.iter().flat_map(Matrix::buffers));
        for layer in &self.layers {
            all.extend([layer.input_norm, layer.post_norm]);
            all.extend(layer.head_norms);
            all.extend(layer.gate_up.buffers());
            all.extend(
                [&layer.qkv, &layer.o, &layer.down]
                    .into_iter()
                    .flat_map(Linear::buffers),
            );
        }
        if let Some(vision) = &self.vision {
            all.push(vision.position);
            all.extend(vision.post_norm.buffers());
            all.extend([&vision.patch, &vision.align].into_iter().flat_map(Linear::buffers));
            all.extend(vision.align_first.iter().flat_map(Linear::buffers));
            for layer in &vision.layers {
                all.extend([&layer.norm1, &layer.norm2].into_iter().flat_map(Norm::buffers));
                let linears = [&layer.qkv, &layer.out, &layer.fc1, &layer.fc2];
                all.extend(linears.into_iter().flat_map(Linear::buffers));
            }
        }
        all
    }
}
