//! How a step is computed: in which precision, and what its forward pass keeps for the backward pass.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{FloatDType, Tensor, TensorPrimitive};
use folio_engine::model::Fused;
use serde::Deserialize;

/// How a step is computed; none of it changes what is learnt but by rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compute {
    /// What matrix products take.
    pub precision: Precision,
    /// Whether the forward pass keeps the inputs of the blocks alone, and the backward pass computes the rest again.
    pub activation_checkpointing: bool,
}

/// What matrix products take; what they give is added up, and everything else is computed and kept, in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// bfloat16: the products of the linear layers, of attention and of the output head round their inputs to it. Weights,
    /// moments, gradients, norms, softmax and losses stay in f32. (On a CPU without AMX the attention kernels stay in f32, too,
    /// and attention inside pages on every CPU; processors without AVX512-BF16 multiply the rounded numbers in f32.)
    Bf16,
}

impl Precision {
    /// The type that products take.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    /// `module` as its products take it: its matrices rounded, within the graph, so that gradients reach the f32 weights.
    /// Tables of embeddings, the output head and vectors stay as they are.
    pub fn working<B: Fused, M: Module<B>>(self, module: M) -> M {
        match self {
            Self::F32 => module,
            Self::Bf16 => module.map(&mut Round { path: Vec::new() }),
        }
    }
}

/// `module` asking for no gradients, as [`Vist2::forward_keeping`](folio_engine::model::Vist2::forward_keeping) wants it.
pub(crate) fn frozen<B: AutodiffBackend, M: Module<B>>(module: M) -> M {
    module.no_grad()
}

struct Round {
    path: Vec<String>,
}

impl Round {
    fn is_product(&self, rank: usize) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        // A convolution's weight that the model multiplies by as a matrix.
        let patches = path.contains(&"patch_embedding") && rank == 4;
        let table = ["embed_tokens", "lm_head", "position_embedding", "page_encoder"];
        patches || (rank == 2 && !path.iter().any(|name| table.contains(name)))
    }
}

impl<B: Fused> ModuleMapper<B> for Round {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !self.is_product(D) {
            return param;
        }
        let (id, tensor, _) = param.consume();
        let rounded = B::in_bf16(tensor.into_primitive().tensor());
        Param::initialized(id, Tensor::from_primitive(TensorPrimitive::Float(rounded)))
    }
}
