//! A module's parameters and their gradients as flat lists, in the order in which the module shows them.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter<B: Backend> {
    /// Its path in the module: for the model, the tensor's name in a checkpoint.
    pub name: String,
    /// Its value.
    pub value: FloatTensor<B>,
}

/// Gradients of a module's parameters; `None` where none flowed.
pub type Gradients<B> = Vec<Option<FloatTensor<B>>>;

/// The parameters of `module`.
pub fn parameters<B: Backend, M: Module<B>>(module: &M) -> Vec<Parameter<B>> {
    let mut list = List {
        path: Vec::new(),
        found: Vec::new(),
    };
    module.visit(&mut list);
    list.found
}

/// `module` with `values` for its parameters, `None` leaving one as it is.
pub fn with_parameters<B: Backend, M: Module<B>>(module: M, values: Vec<Option<FloatTensor<B>>>) -> M {
    module.map(&mut Replace {
        values: values.into_iter(),
    })
}

/// Takes the gradients of `module`'s parameters out of what `backward` gave.
pub fn take_gradients<B: AutodiffBackend, M: Module<B>>(
    module: &M,
    all: &mut B::Gradients,
) -> Gradients<B::InnerBackend> {
    let mut take = Take { all, found: Vec::new() };
    module.visit(&mut take);
    take.found
}

/// `module` with every parameter a leaf of its own graph that gathers a gradient.
pub fn leaves<B: AutodiffBackend, M: Module<B>>(module: M) -> M {
    module.map(&mut Leaves)
}

struct List<B: Backend> {
    path: Vec<String>,
    found: Vec<Parameter<B>>,
}

impl<B: Backend> ModuleVisitor<B> for List<B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.found.push(Parameter {
            name: self.path.join("."),
            value: param.val().into_primitive().tensor(),
        });
    }
}

struct Replace<B: Backend> {
    values: std::vec::IntoIter<Option<FloatTensor<B>>>,
}

impl<B: Backend> ModuleMapper<B> for Replace<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(value) = self.values.next().flatten() else {
            return param;
        };
        let (id, _, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::from_primitive(TensorPrimitive::Float(value)), mapper)
    }
}

struct Take<'a, B: AutodiffBackend> {
    all: &'a mut B::Gradients,
    found: Gradients<B::InnerBackend>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Take<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = param.val().grad_remove(self.all);
        self.found.push(gradient.map(|g| g.into_primitive().tensor()));
    }
}

struct Leaves;

impl<B: AutodiffBackend> ModuleMapper<B> for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor.detach().require_grad(), mapper)
    }
}
