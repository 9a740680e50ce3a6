//! AdamW over a model's parameters by tensor name: one learning rate per part, state that can be saved and restored.

use crate::parallel::in_parallel;
use crate::parameters::{Gradients, parameters, with_parameters};
use burn::module::Module;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{TensorData, TensorMetadata, backend::Backend, try_read_sync};
use folio_engine::model::{AdamW, Fused};
use std::collections::HashMap;

/// AdamW's moments of every parameter it has stepped, by name.
#[derive(Debug)]
pub struct Optimizer<B: Backend> {
    weight_decay: f64,
    states: HashMap<String, State<B>>,
}

#[derive(Debug, Clone)]
struct State<B: Backend> {
    time: usize,
    moments: [FloatTensor<B>; 2],
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

impl<B: Fused> Optimizer<B> {
    /// AdamW with β = (0.9, 0.95), ε = 1e-8 and this weight decay, on matrices only: on norms, biases and scalars decay
    /// would only shrink the function's scale.
    pub fn new(weight_decay: f32) -> Self {
        Self {
            weight_decay: f64::from(weight_decay),
            states: HashMap::new(),
        }
    }

    /// Steps every parameter of `module` that has a gradient and for which `rate` (by name) gives one, on `threads`
    /// threads.
    pub fn step<M: Module<B>>(
        &mut self,
        module: M,
        gradients: Gradients<B>,
        rate: &(dyn Fn(&str) -> Option<Rate> + Sync),
        threads: usize,
    ) -> M {
        let jobs: Vec<_> = parameters(&module)
            .into_iter()
            .zip(gradients)
            .map(|(parameter, gradient)| {
                let rate = gradient.is_some().then(|| rate(&parameter.name)).flatten();
                let state = rate.and_then(|_| self.states.remove(&parameter.name));
                (parameter, gradient.zip(rate), state)
            })
            .collect();
        let weight_decay = self.weight_decay;
        let stepped = in_parallel(threads, jobs, |(parameter, gradient, state)| {
            let (gradient, rate) = gradient?;
            let shape = parameter.value.shape();
            let state = state.unwrap_or_else(|| {
                let device = B::float_device(&parameter.value);
                let zeros = || B::float_zeros(shape.clone(), &device, parameter.value.dtype().into());
                State {
                    time: 0,
                    moments: [zeros(), zeros()],
                }
            });
            let time = state.time + 1;
            let step = AdamW {
                lr: rate.lr,
                scale: rate.scale,
                beta_1: 0.9,
                beta_2: 0.95,
                epsilon: 1e-8,
                weight_decay: if shape.num_dims() > 1 { weight_decay } else { 0.0 },
                time,
            };
            let (value, moments) = B::adamw(parameter.value, gradient, state.moments, &step);
            Some((value, parameter.name, State { time, moments }))
        });
        let mut values = Vec::with_capacity(stepped.len());
        for stepped in stepped {
            values.push(stepped.map(|(value, name, state)| {
                self.states.insert(name, state);
                value
            }));
        }
        with_parameters(module, values)
    }
}

impl<B: Backend> Optimizer<B> {
    /// The moments of `module`'s parameters, for a checkpoint.
    pub fn save<M: Module<B>>(&self, module: &M) -> Vec<SavedState> {
        parameters(module)
            .into_iter()
            .filter_map(|parameter| {
                let state = self.states.get(&parameter.name)?;
                let [moment_1, moment_2] = state.moments.clone().map(data::<B>);
                Some(SavedState {
                    name: parameter.name,
                    time: state.time,
                    moment_1,
                    moment_2,
                })
            })
            .collect()
    }

    /// Restores moments saved by [`Self::save`].
    pub fn restore<M: Module<B>>(&mut self, module: &M, saved: Vec<SavedState>) {
        let mut saved: HashMap<String, SavedState> = saved.into_iter().map(|s| (s.name.clone(), s)).collect();
        for parameter in parameters(module) {
            if let Some(saved) = saved.remove(&parameter.name) {
                let device = B::float_device(&parameter.value);
                let moments = [saved.moment_1, saved.moment_2].map(|data| B::float_from_data(data, &device));
                let time = saved.time;
                self.states.insert(parameter.name, State { time, moments });
            }
        }
    }
}

fn data<B: Backend>(t: FloatTensor<B>) -> TensorData {
    try_read_sync(B::float_into_data(t))
        .expect("a native program can wait")
        .unwrap_or_else(|error| panic!("a moment cannot be read from the device: {error:?}"))
}

/// Adds shares' gradients up, in order, on `threads` threads; gives the sums.
pub fn add_gradients<B: Fused>(shares: Vec<Gradients<B>>, threads: usize) -> Gradients<B> {
    let mut terms: Vec<Vec<FloatTensor<B>>> = Vec::new();
    for share in shares {
        terms.resize_with(terms.len().max(share.len()), Vec::new);
        for (terms, gradient) in terms.iter_mut().zip(share) {
            terms.extend(gradient);
        }
    }
    in_parallel(threads, terms, B::sum)
}

/// Sums of squares of gradients, by the part that `part` (by parameter name) says.
pub fn squared_norms<B: Fused, M: Module<B>>(
    module: &M,
    gradients: &Gradients<B>,
    part: &dyn Fn(&str) -> usize,
    parts: usize,
    threads: usize,
) -> Vec<f64> {
    let (parts_of, present): (Vec<usize>, Vec<FloatTensor<B>>) = parameters(module)
        .iter()
        .zip(gradients)
        .filter_map(|(parameter, gradient)| Some((part(&parameter.name), gradient.clone()?)))
        .unzip();
    // One thread: all in one piece of work, which is one transfer from a GPU.
    let per_job = if threads > 1 { 1 } else { present.len().max(1) };
    let jobs: Vec<&[FloatTensor<B>]> = present.chunks(per_job).collect();
    let mut sums = vec![0.0; parts];
    for (part, square) in parts_of
        .into_iter()
        .zip(in_parallel(threads, jobs, B::squares).concat())
    {
        sums[part] += square;
    }
    sums
}
