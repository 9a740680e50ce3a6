//! The learner on disk: weights as a model folder's `model.safetensors`, moments and the auxiliary head beside them.

use crate::aux_loss::CellHead;
use crate::optim::{Optimizer, SavedState};
use crate::step::Learner;
use crate::{Error, Result};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend, backend::Backend};
use folio_engine::checkpoint::{self, Checkpoint, Dtype, TensorSpec};
use folio_engine::config::Config;
use folio_engine::model::{Fused, Vist2, visit_params};
use std::collections::{HashMap, HashSet};
use std::path::Path;

const OPTIMIZER: &str = "optimizer.safetensors";

/// Writes the learner into `dir` (which exists): f32 weights, exact moments.
///
/// # Errors
/// A file that cannot be written; none is left half-written.
pub fn save<B: AutodiffBackend>(learner: &Learner<B>, config: &Config, dir: &Path) -> Result<()> {
    let path = dir.join("config.json");
    std::fs::write(&path, config.to_json()).map_err(|e| Error::io("write", &path, e))?;
    save_model(&learner.model, dir, Dtype::F32)?;
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut push = |name: String, data: TensorData| {
        let shape = data.shape.to_vec();
        tensors.push((name, shape, data.convert::<f32>().into_vec().unwrap_or_default()));
    };
    push("head".to_owned(), learner.head.weight.val().into_data());
    let moments = learner.optimizer.save(&learner.model).into_iter().map(|s| ("model", s));
    for (of, state) in moments.chain(
        learner
            .head_optimizer
            .save(&learner.head)
            .into_iter()
            .map(|s| ("head", s)),
    ) {
        let SavedState {
            name,
            time,
            moment_1,
            moment_2,
        } = state;
        push(format!("{of}/{name}/1"), moment_1);
        push(format!("{of}/{name}/2"), moment_2);
        push(format!("{of}/{name}/time"), TensorData::new(vec![time as f32], [1]));
    }
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| {
            let bytes: &[u8] = bytemuck::cast_slice(data);
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)
                .map(|view| (name.as_str(), view))
                .map_err(|e| Error::invalid(OPTIMIZER, e.to_string()))
        })
        .collect::<Result<_>>()?;
    let bytes = safetensors::serialize(views, None).map_err(|e| Error::invalid(OPTIMIZER, e.to_string()))?;
    crate::files::write_whole(&dir.join(OPTIMIZER), &bytes)
}

/// Writes only the model's weights into `dir`.
///
/// # Errors
/// As [`checkpoint::write`].
pub fn save_model<B: Backend>(model: &Vist2<B>, dir: &Path, dtype: Dtype) -> Result<()> {
    let (mut specs, mut values) = (Vec::new(), HashMap::new());
    visit_params(model, &mut |spec: TensorSpec, data| {
        values.insert(spec.name.clone(), data);
        specs.push(spec);
    });
    checkpoint::write(dir, &specs, dtype, &mut |spec| {
        let data = values
            .remove(&spec.name)
            .ok_or_else(|| Error::invalid(&spec.name, "asked for twice"))?;
        Ok(data.convert::<f32>().into_vec().unwrap_or_default())
    })
}

/// A model from a checkpoint folder, or, without one, fresh from `seed`.
///
/// # Errors
/// Whatever is wrong with the checkpoint.
pub fn load_model<B: Fused>(config: &Config, from: Option<&Path>, seed: u64, device: &B::Device) -> Result<Vist2<B>> {
    match from {
        Some(dir) => {
            let checkpoint = Checkpoint::open(dir)?;
            // A control may start from a model that reads pages otherwise: it takes what both have.
            let stored = Config::load(dir)?;
            checkpoint.check(&stored)?;
            let other = |config: &Config| config.fold.as_ref().map(|fold| fold.page_encoder);
            let known: HashSet<String> = match other(&stored) == other(config) {
                true => HashSet::new(),
                false => checkpoint::tensors(&stored).into_iter().map(|spec| spec.name).collect(),
            };
            Vist2::build(
                config,
                &mut |spec| {
                    if known.is_empty() || known.contains(&spec.name) {
                        checkpoint.read_f32(spec)
                    } else {
                        Ok(checkpoint::init_tensor(config, spec, seed))
                    }
                },
                device,
            )
        }
        None => Vist2::build(
            config,
            &mut |spec| Ok(checkpoint::init_tensor(config, spec, seed)),
            device,
        ),
    }
}

/// Restores what [`save`] wrote beside the weights: moments and the auxiliary head.
///
/// # Errors
/// A missing or damaged file.
pub fn restore_moments<B: AutodiffBackend>(learner: &mut Learner<B>, dir: &Path) -> Result<()> {
    let path = dir.join(OPTIMIZER);
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let damaged = |what: String| Error::invalid(path.display().to_string(), what);
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors: HashMap<String, TensorData> = file
        .iter()
        .map(|(name, view)| {
            let data: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
            (name.to_owned(), TensorData::new(data, view.shape().to_vec()))
        })
        .collect();
    let weight = tensors
        .remove("head")
        .ok_or_else(|| damaged("the auxiliary head is missing".to_owned()))?;
    if weight.shape.to_vec() != learner.head.weight.val().dims() {
        return Err(damaged("the auxiliary head is of another model".to_owned()));
    }
    learner.head = CellHead {
        weight: Param::from_tensor(Tensor::from_data(weight, &learner.device)),
    };
    restore("model", &learner.model, &mut learner.optimizer, &mut tensors);
    restore("head", &learner.head, &mut learner.head_optimizer, &mut tensors);
    Ok(())
}

fn restore<B: Backend, M: Module<B>>(
    of: &str,
    module: &M,
    optimizer: &mut Optimizer<B>,
    tensors: &mut HashMap<String, TensorData>,
) {
    let prefix = format!("{of}/");
    let names: Vec<String> = tensors
        .keys()
        .filter_map(|k| k.strip_prefix(&prefix)?.strip_suffix("/time").map(str::to_owned))
        .collect();
    let mut saved = Vec::new();
    for name in names {
        let mut take = |what: &str| tensors.remove(&format!("{of}/{name}/{what}"));
        if let (Some(time), Some(moment_1), Some(moment_2)) = (take("time"), take("1"), take("2")) {
            let time = time.as_slice::<f32>().map_or(0, |t| t[0] as usize);
            saved.push(SavedState {
                name: name.clone(),
                time,
                moment_1,
                moment_2,
            });
        }
    }
    optimizer.restore(module, saved);
}
