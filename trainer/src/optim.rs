//! AdamW over a model's parameters by tensor name: one learning rate per part, state that can be saved and restored.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, SimpleOptimizer};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::any::Any;
use std::collections::HashMap;

/// AdamW's moments of every parameter it has stepped, by name.
#[derive(Debug)]
pub struct Optimizer<B: Backend> {
    /// For matrices.
    decaying: Wrapped,
    /// For norms, biases and scalars: decay on them would only shrink the function's scale.
    plain: Wrapped,
    states: HashMap<String, Box<dyn Any + Send>>,
    backend: std::marker::PhantomData<B>,
}

struct Wrapped(AdamW);

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdamW")
    }
}

/// How one parameter is stepped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Learning rate.
    pub lr: f64,
    /// What its gradient is multiplied by first (clipping).
    pub scale: f64,
}

/// One saved moment of one parameter.
#[derive(Debug, Clone)]
pub struct SavedState {
    /// Parameter name.
    pub name: String,
    /// Steps taken.
    pub time: usize,
    /// First moment.
    pub moment_1: TensorData,
    /// Second moment.
    pub moment_2: TensorData,
}

impl<B: Backend> Optimizer<B> {
    /// AdamW with β = (0.9, 0.95), ε = 1e-8 and this weight decay (on matrices only).
    pub fn new(weight_decay: f32) -> Self {
        let adamw = |decay| {
            Wrapped(
                AdamWConfig::new()
                    .with_beta_2(0.95)
                    .with_epsilon(1e-8)
                    .with_weight_decay(decay)
                    .build(),
            )
        };
        Self {
            decaying: adamw(weight_decay),
            plain: adamw(0.0),
            states: HashMap::new(),
            backend: std::marker::PhantomData,
        }
    }

    /// Steps every parameter of `module` that has a gradient and for which `rate` (by name) gives one.
    pub fn step<M: Module<B>>(
        &mut self,
        module: M,
        grads: &mut GradientsParams,
        rate: &dyn Fn(&str) -> Option<Rate>,
    ) -> M {
        module.map(&mut Step {
            optimizer: self,
            grads,
            rate,
            path: Vec::new(),
        })
    }

    /// The moments of `module`'s parameters, for a checkpoint.
    pub fn save<M: Module<B>>(&self, module: &M) -> Vec<SavedState> {
        let mut save = Save {
            optimizer: self,
            path: Vec::new(),
            out: Vec::new(),
        };
        module.visit(&mut save);
        save.out
    }

    /// Restores moments saved by [`Self::save`].
    pub fn restore<M: Module<B>>(&mut self, module: &M, saved: Vec<SavedState>) {
        let saved = saved.into_iter().map(|s| (s.name.clone(), s)).collect();
        module.visit(&mut Restore {
            optimizer: self,
            path: Vec::new(),
            saved,
        });
    }
}

struct Step<'a, B: Backend> {
    optimizer: &'a mut Optimizer<B>,
    grads: &'a mut GradientsParams,
    rate: &'a dyn Fn(&str) -> Option<Rate>,
    path: Vec<String>,
}

impl<B: Backend> ModuleMapper<B> for Step<'_, B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.join(".");
        let (Some(grad), Some(rate)) = (self.grads.remove::<B, D>(param.id), (self.rate)(&name)) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let state = self
            .optimizer
            .states
            .remove(&name)
            .and_then(|s| s.downcast::<AdamWState<B, D>>().ok());
        let grad = if rate.scale == 1.0 {
            grad
        } else {
            grad.mul_scalar(rate.scale)
        };
        let adamw = if D > 1 {
            &self.optimizer.decaying
        } else {
            &self.optimizer.plain
        };
        let (tensor, state) = adamw.0.step(rate.lr, tensor, grad, state.map(|s| *s));
        if let Some(state) = state {
            self.optimizer.states.insert(name, Box::new(state));
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}

struct Save<'a, B: Backend> {
    optimizer: &'a Optimizer<B>,
    path: Vec<String>,
    out: Vec<SavedState>,
}

impl<B: Backend> ModuleVisitor<B> for Save<'_, B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<B, D>>) {
        let name = self.path.join(".");
        if let Some(state) = self
            .optimizer
            .states
            .get(&name)
            .and_then(|s| s.downcast_ref::<AdamWState<B, D>>())
        {
            self.out.push(SavedState {
                name,
                time: state.momentum.time,
                moment_1: state.momentum.moment_1.to_data(),
                moment_2: state.momentum.moment_2.to_data(),
            });
        }
    }
}

struct Restore<'a, B: Backend> {
    optimizer: &'a mut Optimizer<B>,
    path: Vec<String>,
    saved: HashMap<String, SavedState>,
}

impl<B: Backend> ModuleVisitor<B> for Restore<'_, B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let name = self.path.join(".");
        if let Some(saved) = self.saved.remove(&name) {
            let device = param.val().device();
            let tensor = |data: TensorData| Tensor::<B, D>::from_data(data, &device);
            let momentum = AdaptiveMomentumState::new(saved.time, tensor(saved.moment_1), tensor(saved.moment_2));
            self.optimizer.states.insert(name, Box::new(AdamWState::new(momentum)));
        }
    }
}

/// Sums of squares of gradients, by part.
pub fn squared_norms<B: Backend, M: Module<B>>(
    module: &M,
    grads: &GradientsParams,
    part: &dyn Fn(&str) -> usize,
    parts: usize,
) -> Vec<f64> {
    let mut norms = Norms {
        grads,
        part,
        path: Vec::new(),
        sums: vec![0.0; parts],
    };
    module.visit(&mut norms);
    norms.sums
}

struct Norms<'a> {
    grads: &'a GradientsParams,
    part: &'a dyn Fn(&str) -> usize,
    path: Vec<String>,
    sums: Vec<f64>,
}

impl<B: Backend> ModuleVisitor<B> for Norms<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(grad) = self.grads.get::<B, D>(param.id) {
            let sum = grad.square().sum().into_data().convert::<f64>();
            let value = sum.as_slice::<f64>().map_or(f64::NAN, |s| s[0]);
            self.sums[(self.part)(&self.path.join("."))] += value;
        }
    }
}

/// Adds `other`'s gradients of `module`'s parameters to `into`'s.
pub fn add_gradients<B: Backend, M: Module<B>>(module: &M, into: &mut GradientsParams, other: GradientsParams) {
    module.visit(&mut AddGradients { into, other });
}

struct AddGradients<'a> {
    into: &'a mut GradientsParams,
    other: GradientsParams,
}

impl<B: Backend> ModuleVisitor<B> for AddGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(grad) = self.other.remove::<B, D>(param.id) {
            let sum = match self.into.remove::<B, D>(param.id) {
                Some(sum) => sum + grad,
                None => grad,
            };
            self.into.register::<B, D>(param.id, sum);
        }
    }
}
