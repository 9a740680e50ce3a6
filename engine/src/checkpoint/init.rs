//! Random initialisation, as for training.

use super::TensorSpec;
use crate::config::Config;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Standard deviation of ordinary weights, and so the RMS of the token embedding.
const STD: f64 = 0.02;

/// The initial values of one tensor: a function of seed, name and shape only, not of order or platform.
///
/// - RMSNorm and LayerNorm weights are 1, biases 0, `aligner.scale` 0.02 (the RMS of the token embedding, spec
///   section 2);
/// - projections back into a residual stream (`o_proj`, `down_proj`, `out_proj`, `fc2`) are normal with standard
///   deviation 0.02 / √(2·layers) of their own stack, so that depth does not grow the stream;
/// - convolutions over token embeddings are normal with 1 / √(values in a row), so that they keep their size;
/// - the patch embedding is normal with 1 / √(values in a patch), as SigLIP's is: pixels have RMS 1, strips are long;
/// - everything else is normal with 0.02.
pub fn init_tensor(config: &Config, spec: &TensorSpec, seed: u64) -> Vec<f32> {
    let n = spec.elements();
    match std_of(config, spec) {
        Start::Constant(value) => vec![value; n],
        Start::Normal(std) => normal(n, std, seed, &spec.name),
    }
}

enum Start {
    Constant(f32),
    Normal(f64),
}

fn std_of(config: &Config, spec: &TensorSpec) -> Start {
    let name = spec.name.as_str();
    let has = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if name == "aligner.scale" {
        Start::Constant(STD as f32)
    } else if name.ends_with(".bias") {
        Start::Constant(0.0)
    } else if spec.shape.len() == 1 {
        // Every weight vector of the contract is a norm's.
        Start::Constant(1.0)
    } else if name.starts_with("page_encoder.") || has(&["embeddings.patch_embedding.weight"]) {
        let patch: usize = spec.shape[1..].iter().product();
        Start::Normal(1.0 / (patch.max(1) as f64).sqrt())
    } else if has(&[".o_proj.weight", ".down_proj.weight"]) {
        Start::Normal(residual(config.text.num_hidden_layers))
    } else if has(&[".out_proj.weight", ".fc2.weight"]) {
        Start::Normal(residual(
            config.fold.as_ref().map_or(1, |fold| fold.vision.num_hidden_layers),
        ))
    } else {
        Start::Normal(STD)
    }
}

fn residual(layers: usize) -> f64 {
    STD / (2.0 * layers.max(1) as f64).sqrt()
}

/// `n` normal values by Marsaglia's polar method, from a ChaCha8 stream that seed and name choose.
fn normal(n: usize, std: f64, seed: u64, name: &str) -> Vec<f32> {
    let key = Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(name.as_bytes())
        .finalize();
    let mut rng = ChaCha8Rng::from_seed(key.into());
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let bits = rng.next_u64();
        let (x, y) = (uniform(bits as u32), uniform((bits >> 32) as u32));
        let square = x * x + y * y;
        if square < 1.0 {
            let factor = std * (-2.0 * ln(square) / square).sqrt();
            values.extend([(x * factor) as f32, (y * factor) as f32]);
        }
    }
    values.truncate(n);
    values
}

/// 32 random bits as a number in (−1, 1), never 0.
fn uniform(bits: u32) -> f64 {
    (f64::from(bits as i32) + 0.5) / f64::from(1u32 << 31)
}

/// Natural logarithm of a positive normal number to about 1e-13, from IEEE-exact operations only: `f64::ln` is the
/// system's and may differ in the last bit from one to the next, and a checkpoint's start must not.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 artanh((m − 1)/(m + 1)), |t| ≤ 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let mut series = 0.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * t2 + 1.0 / odd;
    }
    exponent * std::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::{ln, normal};

    #[test]
    fn ln_is_the_logarithm() {
        for x in [1e-19, 0.003, 0.5, 0.7, 0.71, 0.999_999, 1.0, 1.4, 1.5, 3.0, 1e9] {
            assert!(
                (ln(x) - f64::ln(x)).abs() < 1e-12 * f64::ln(x).abs().max(1.0),
                "ln({x}) = {}",
                ln(x)
            );
        }
    }

    #[test]
    fn the_distribution_is_normal() {
        let values = normal(200_001, 0.5, 7, "some.tensor");
        assert_eq!(values.len(), 200_001);
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|&v| (f64::from(v) / 0.5).powi(k)).sum::<f64>() / n;
        // Standard errors: mean 0.002, variance 0.003, skewness 0.009, fourth moment 0.02.
        for (k, right, within) in [(1, 0.0, 0.01), (2, 1.0, 0.015), (3, 0.0, 0.04), (4, 3.0, 0.1)] {
            assert!((moment(k) - right).abs() < within, "moment {k}: {}", moment(k));
        }
        let neighbours = values.windows(2).map(|w| f64::from(w[0] * w[1]) / 0.25).sum::<f64>() / n;
        assert!(neighbours.abs() < 0.01, "neighbours correlate: {neighbours}");
    }

    #[test]
    fn values_are_fixed_for_all_time() {
        let bits: Vec<u32> = normal(4, 0.02, 1, "w").iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [3_172_273_944, 1_000_476_409, 3_163_231_305, 1_023_989_133]);
    }
}
