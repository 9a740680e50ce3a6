//! Parameters by name: a parameter's path in the module tree is its Hugging Face tensor name.

use super::vist2::Vist2;
use crate::checkpoint::TensorSpec;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

struct Walk<'f> {
    path: Vec<String>,
    each: &'f mut dyn FnMut(TensorSpec, TensorData),
}

impl<B: Backend> ModuleVisitor<B> for Walk<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let value = param.val();
        let spec = TensorSpec {
            name: self.path.join("."),
            shape: value.dims().to_vec(),
        };
        (self.each)(spec, value.into_data());
    }
}

/// Calls `each` with name, shape and values of every parameter of `model`.
pub fn visit_params<B: Backend>(model: &Vist2<B>, each: &mut dyn FnMut(TensorSpec, TensorData)) {
    let strip = model.config.fold.is_none();
    let mut renamed = |mut spec: TensorSpec, data: TensorData| {
        if strip && let Some(name) = spec.name.strip_prefix("language_model.") {
            spec.name = name.to_owned();
        }
        each(spec, data);
    };
    model.visit(&mut Walk {
        path: Vec::new(),
        each: &mut renamed,
    });
}

/// Every parameter of `model` by name, as f32 values.
pub fn named_params<B: Backend>(model: &Vist2<B>) -> Vec<(TensorSpec, Vec<f32>)> {
    let mut out = Vec::new();
    visit_params(model, &mut |spec, data| {
        out.push((spec, data.convert::<f32>().into_vec().expect("just converted to f32")));
    });
    out
}

/// Calls `each` with the number of values and the type of every parameter of `model`.
pub(super) fn visit_params_dtypes<B: Backend>(model: &Vist2<B>, each: &mut dyn FnMut(usize, DType)) {
    struct Types<'f>(&'f mut dyn FnMut(usize, DType));

    impl<B: Backend> ModuleVisitor<B> for Types<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let value = param.val();
            (self.0)(value.dims().iter().product(), value.dtype());
        }
    }

    model.visit(&mut Types(each));
}
