//! The processes that train one model together: what they sum, and how they stay alike.

#[cfg(feature = "mpi")]
mod lifeline;
#[cfg(feature = "mpi")]
mod mpi;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
use crate::parameters::{Gradients, parameters, with_parameters};
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::{Shape, TensorData, TensorMetadata, backend::Backend, ops::FloatTensor, try_read_sync};
use sha2::{Digest, Sha256};

/// Numbers that are summed at once: 4 MB, large enough for a network, small enough to need little memory.
const BUCKET: usize = 1 << 20;

/// One process of a team. Every process must call the same functions in the same order.
pub trait Team {
    /// Number of this process, from 0.
    fn rank(&self) -> usize;
    /// Number of processes.
    fn size(&self) -> usize;
    /// Sums over all processes, number by number; the same on all of them.
    ///
    /// # Errors
    /// Another process is gone.
    fn sum(&self, numbers: Vec<f32>) -> Result<Vec<f32>>;
    /// As [`Self::sum`].
    ///
    /// # Errors
    /// As [`Self::sum`].
    fn sum_exactly(&self, numbers: Vec<f64>) -> Result<Vec<f64>>;
    /// What process 0 gave.
    ///
    /// # Errors
    /// As [`Self::sum`].
    fn broadcast(&self, numbers: Vec<f32>) -> Result<Vec<f32>>;

    /// Whether this process writes checkpoints and metrics.
    fn writes(&self) -> bool {
        self.rank() == 0
    }
}

/// A process by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Team for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }

    fn sum_exactly(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        Ok(numbers)
    }

    fn broadcast(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }
}

/// Waits until every process of `team` is here.
///
/// # Errors
/// Another process is gone.
pub fn meet(team: &dyn Team) -> Result<()> {
    team.sum(vec![0.0]).map(|_| ())
}

/// Sums the gradients of all processes, in buckets. A parameter must have a gradient on all of them or on none of them; what
/// has none on this one counts as 0.
///
/// # Errors
/// Another process is gone.
pub fn sum_gradients<B: Backend, M: Module<B>>(
    team: &dyn Team,
    module: &M,
    gradients: Gradients<B>,
) -> Result<Gradients<B>> {
    if team.size() == 1 {
        return Ok(gradients);
    }
    let parameters = parameters(module);
    // A rank whose share needed no gradient of a part would otherwise send less than the others.
    let mut present: Vec<f32> = gradients.iter().map(|g| f32::from(u8::from(g.is_some()))).collect();
    present.resize(parameters.len(), 0.0);
    let present = team.sum(present)?;
    let mut numbers = Vec::new();
    let mut gradients = gradients;
    gradients.resize(parameters.len(), None);
    for ((parameter, gradient), &holders) in parameters.iter().zip(gradients).zip(&present) {
        match gradient {
            Some(gradient) => numbers.extend(floats::<B>(gradient)),
            None if holders > 0.0 => numbers.resize(numbers.len() + parameter.value.shape().num_elements(), 0.0),
            None => {}
        }
    }
    let mut summed = Vec::with_capacity(numbers.len());
    for bucket in numbers.chunks(BUCKET) {
        summed.extend(team.sum(bucket.to_vec())?);
    }
    let mut at = 0;
    let of = |(parameter, &holders): (&crate::parameters::Parameter<B>, &f32)| {
        (holders > 0.0).then(|| {
            let shape = parameter.value.shape();
            let n = shape.num_elements();
            at += n;
            tensor::<B>(&summed[at - n..at], shape, &B::float_device(&parameter.value))
        })
    };
    Ok(parameters.iter().zip(&present).map(of).collect())
}

/// `module` with process 0's weights.
///
/// # Errors
/// Another process is gone.
pub fn share_weights<B: Backend, M: Module<B>>(team: &dyn Team, module: M) -> Result<M> {
    if team.size() == 1 {
        return Ok(module);
    }
    let mut values = Vec::new();
    for parameter in parameters(&module) {
        let (shape, device) = (parameter.value.shape(), B::float_device(&parameter.value));
        let mut own = floats::<B>(parameter.value);
        let mut shared = Vec::with_capacity(own.len());
        for bucket in own.chunks_mut(BUCKET) {
            shared.extend(team.broadcast(bucket.to_vec())?);
        }
        values.push(Some(tensor::<B>(&shared, shape, &device)));
    }
    Ok(with_parameters(module, values))
}

/// Checks that all processes hold the same weights, bit by bit.
///
/// # Errors
/// They do not; another process is gone.
pub fn check_weights<B: Backend, M: Module<B>>(team: &dyn Team, module: &M) -> Result<()> {
    if team.size() == 1 {
        return Ok(());
    }
    let mut hash = Sha256::new();
    for parameter in parameters(module) {
        for x in floats::<B>(parameter.value) {
            hash.update(x.to_le_bytes());
        }
    }
    // Halves of 16 bits, which f64 sums without rounding.
    let own: Vec<f64> = hash
        .finalize()
        .chunks_exact(2)
        .map(|b| f64::from(u16::from_le_bytes([b[0], b[1]])))
        .collect();
    let size = team.size() as f64;
    let squares: Vec<f64> = own.iter().map(|x| x * x).collect();
    let (sums, squares) = (team.sum_exactly(own.clone())?, team.sum_exactly(squares)?);
    // Equal numbers have the mean's square for the mean of their squares, others more.
    let alike = sums
        .iter()
        .zip(&squares)
        .all(|(sum, squares)| sum * sum == squares * size);
    if alike {
        return Ok(());
    }
    Err(Error::Gpu(
        "the processes' weights have drifted apart: a device computes wrongly; go on with --resume from the last checkpoint"
            .to_owned(),
    ))
}

fn floats<B: Backend>(t: FloatTensor<B>) -> Vec<f32> {
    let data = try_read_sync(B::float_into_data(t))
        .expect("a native program can wait")
        .unwrap_or_else(|error| panic!("a tensor cannot be read from the device: {error:?}"));
    data.convert::<f32>().into_vec().unwrap_or_default()
}

fn tensor<B: Backend>(values: &[f32], shape: Shape, device: &B::Device) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values.to_vec(), shape), device)
}

#[cfg(test)]
mod tests;
