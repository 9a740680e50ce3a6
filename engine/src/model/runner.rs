//! The incremental runner: one context, step by step, over preallocated KV.

use super::decoder::Qkv;
use super::fused::Fused;
use super::kv::{LayerKv, Rows};
use super::rope::Rope;
use super::vist2::Vist2;
use crate::config::Config;
use crate::context::Context;
use crate::page::{PageImage, Patches};
use crate::runner::{Folded, Logits, Runner, Want};
use crate::{Error, Result};
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, activation, backend::Backend};
use std::time::Instant;

/// Most text tokens run at once: bounds the attention scores of a long prompt.
const BLOCK: usize = 256;
/// Memory slots allocated at the start.
const FIRST_CAPACITY: usize = 1024;
const HIDDEN: f32 = -1e9;

/// A burn model with one context.
#[derive(Debug)]
pub struct BurnRunner<B: Backend> {
    model: Vist2<B>,
    config: Config,
    context: Context,
    kv: Vec<LayerKv<B>>,
    device: B::Device,
    name: String,
}

/// Which slots the new elements join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Into {
    /// The open chunk: they see the memory, then the open chunk causally.
    Open,
    /// The memory: they see the memory causally; the first `sees_open` of them the open chunk too.
    Memory { sees_open: usize },
}

impl<B: Fused> BurnRunner<B> {
    /// A runner of `model` on `device`; `name` is the device in words.
    pub fn new(model: Vist2<B>, device: B::Device, name: impl std::convert::Into<String>) -> Self {
        let config = model.config.clone();
        let mut runner = Self {
            model: model.no_grad(),
            config,
            context: Context::new(),
            kv: Vec::new(),
            device,
            name: name.into(),
        };
        runner.reset();
        runner
    }

    /// Runs embeddings `x`, `[n, d]`, at `positions` through all blocks, writing their KV. Gives `[n, d]`.
    fn run(&mut self, mut x: Tensor<B, 2>, positions: &[usize], into: Into) -> Tensor<B, 2> {
        let c = &self.config.text;
        let rope = Rope::new(positions, c.head_dim, c.rope_theta, &self.device);
        let (memory, open) = (self.context.memory_slots(), self.context.open_slots());
        for (layer, kv) in self.model.language_model.model.layers.iter().zip(&mut self.kv) {
            x = layer.forward(x, &rope, |qkv| attend(qkv, kv, memory, open, into));
        }
        x
    }

    /// Logits of the rows of `x` that are wanted.
    fn logits(&self, x: Tensor<B, 2>, want: Want, what: &str) -> Result<Logits> {
        let vocab = self.config.text.vocab_size;
        let x = match want {
            Want::Nothing => {
                return Ok(Logits {
                    data: Vec::new(),
                    vocab,
                });
            }
            Want::Last => {
                let n = x.dims()[0];
                x.narrow(0, n - 1, 1)
            }
            Want::All => x,
        };
        let logits = self.model.logits(self.model.language_model.model.norm.forward(x));
        let data = logits
            .into_data()
            .convert::<f32>()
            .into_vec::<f32>()
            .map_err(|e| Error::Argument(format!("{e:?}")))?;
        match data.iter().all(|v| v.is_finite()) {
            true => Ok(Logits { data, vocab }),
            false => Err(Error::NotFinite(what.to_owned())),
        }
    }

    fn check_room(&self, extra: usize) -> Result<()> {
        let (slots, limit) = (self.context.slots() + extra, self.config.text.max_position_embeddings);
        if slots > limit {
            Err(Error::ContextFull { slots, limit })
        } else {
            Ok(())
        }
    }

    /// Visual tokens of `pages`, `[slots of all pages, d]`, and the slots of each page.
    fn encode(&self, pages: &[PageImage]) -> Result<(Tensor<B, 2>, Vec<usize>)> {
        let Some(fold) = &self.config.fold else {
            return Err(Error::Argument(
                "this is a text-only model: it cannot fold. Use --context full, or train its vision side (stage `ocr`)"
                    .to_owned(),
            ));
        };
        let patches: Vec<Patches> = pages.iter().map(|p| Patches::new(p, fold)).collect();
        let slots: Vec<usize> = patches.iter().map(|p| p.slots).collect();
        let most = slots.iter().copied().max().unwrap_or(0);
        let patch_len = fold.vision.patch_len();
        let mut data = Vec::with_capacity(pages.len() * most * patch_len);
        let (mut bias, mut keep) = (Vec::new(), Vec::new());
        for (i, page) in patches.iter().enumerate() {
            data.extend_from_slice(&page.data);
            data.resize((i + 1) * most * patch_len, 0.0);
            bias.extend((0..most).map(|s| if s < page.slots { 0.0 } else { HIDDEN }));
            keep.extend((0..page.slots).map(|s| (i * most + s) as i32));
        }
        let padded = keep.len() < pages.len() * most;
        let n = pages.len();
        let patches = Tensor::from_data(TensorData::new(data, [n, most, patch_len]), &self.device);
        let bias = padded.then(|| Tensor::from_data(TensorData::new(bias, [n, 1, 1, most]), &self.device));
        let visual = self.model.visual_tokens(patches, bias);
        let total = keep.len();
        let keep = Tensor::<B, 1, Int>::from_data(TensorData::new(keep, [total]), &self.device);
        Ok((if padded { visual.select(0, keep) } else { visual }, slots))
    }
}

impl<B: Fused> Runner for BurnRunner<B> {
    fn config(&self) -> &Config {
        &self.config
    }

    fn context(&self) -> &Context {
        &self.context
    }

    fn reset(&mut self) {
        let c = &self.config.text;
        let open = self.config.fold.as_ref().map_or(BLOCK, |f| f.chunk_tokens);
        let memory = FIRST_CAPACITY.min(c.max_position_embeddings);
        let rows = |n| Rows::new(c.num_key_value_heads, n, c.head_dim, &self.device);
        self.kv = (0..c.num_hidden_layers)
            .map(|_| LayerKv {
                memory: rows(memory),
                open: rows(open),
            })
            .collect();
        self.context = Context::new();
    }

    fn extend(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
        let vocab = self.config.text.vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Argument(format!(
                "token id {id} is outside the vocabulary (0 to {})",
                vocab - 1
            )));
        }
        self.check_room(ids.len())?;
        let before = self.context.clone();
        let mut all = Logits {
            data: Vec::new(),
            vocab,
        };
        let blocks = ids.len().div_ceil(BLOCK);
        for (i, block) in ids.chunks(BLOCK).enumerate() {
            let data: Vec<i32> = block.iter().map(|&id| id as i32).collect();
            let index = Tensor::<B, 1, Int>::from_data(TensorData::new(data, [block.len()]), &self.device);
            let x = self.model.language_model.model.embed_tokens.forward(index);
            let start = self.context.next_position();
            let positions: Vec<usize> = (start..start + block.len()).collect();
            let x = self.run(x, &positions, Into::Open);
            self.context.extend(block.len());
            let wanted = if want == Want::Last && i + 1 < blocks {
                Want::Nothing
            } else {
                want
            };
            match self.logits(x, wanted, "after text") {
                Ok(logits) => all.data.extend(logits.data),
                Err(e) => {
                    self.context = before;
                    return Err(e);
                }
            }
        }
        Ok(all)
    }

    fn fold(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
        let start = Instant::now();
        let (visual, slots) = self.encode(pages)?;
        let total: usize = slots.iter().sum();
        let sees_text = self.config.fold.as_ref().is_some_and(|f| f.visual_sees_text);
        // Without `visual_sees_text` the text KV is gone before the visual KV comes.
        let open = if sees_text { 0 } else { self.context.open_slots() };
        self.check_room(total.saturating_sub(open))?;
        B::sync(&self.device).ok();
        let encode_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let positions: Vec<usize> = self.context.fold_positions(total).collect();
        let sees_open = if sees_text {
            slots.first().copied().unwrap_or(0)
        } else {
            0
        };
        let x = self.run(visual, &positions, Into::Memory { sees_open });
        let logits = self.logits(x, want, "after folding a page")?;
        for &n in &slots {
            self.context.fold(n);
        }
        B::sync(&self.device).ok();
        Ok(Folded {
            slots,
            logits,
            encode_s,
            prefill_s: start.elapsed().as_secs_f64(),
        })
    }

    fn keep_open(&mut self) {
        let (memory, open) = (self.context.memory_slots(), self.context.open_slots());
        if open > 0 {
            for kv in &mut self.kv {
                let (k, v) = kv.open.first(open);
                kv.memory.write(memory, k, v);
            }
        }
        self.context.keep_open();
    }

    fn drop_open(&mut self) {
        self.context.drop_open();
    }

    fn evict(&mut self, n: usize) {
        let used = self.context.memory_slots();
        for kv in &mut self.kv {
            kv.memory.drop_front(n, used);
        }
        self.context.evict(n);
    }

    fn kv_bytes_per_slot(&self) -> usize {
        2 * self.config.text.num_hidden_layers * self.config.text.kv_size() * size_of::<f32>()
    }

    fn weight_bytes(&self) -> usize {
        self.model.num_params() * size_of::<f32>()
    }

    fn device(&self) -> String {
        self.name.clone()
    }
}

/// Writes the new keys and values, then attends: to the memory, and to the open chunk where it is seen.
fn attend<B: Backend>(qkv: Qkv<B>, kv: &mut LayerKv<B>, memory: usize, open: usize, into: Into) -> Tensor<B, 2> {
    let [n, heads, head_dim] = qkv.q.dims();
    let kv_heads = qkv.k.dims()[1];
    let groups = heads / kv_heads;
    let device = qkv.q.device();
    // [kv_heads, groups × n, head_dim]: all queries of one key head in one matrix product.
    let q = qkv
        .q
        .reshape([n, kv_heads, groups, head_dim])
        .permute([1, 2, 0, 3])
        .reshape([kv_heads, groups * n, head_dim]);
    let (k, v) = (qkv.k.swap_dims(0, 1), qkv.v.swap_dims(0, 1));
    let (memory_len, open_len, memory_bias, open_bias) = match into {
        Into::Open => {
            kv.open.write(open, k, v);
            (
                memory,
                open + n,
                None,
                (n > 1).then(|| causal(n, open, groups, &device)),
            )
        }
        Into::Memory { sees_open } => {
            kv.memory.write(memory, k, v);
            let seen = if sees_open > 0 { open } else { 0 };
            // Only the first page replaces the open text: later pages of the batch must not see it.
            let bias = (sees_open > 0 && sees_open < n).then(|| hide_after(n, sees_open, seen, groups, &device));
            (
                memory + n,
                seen,
                (n > 1).then(|| causal(n, memory, groups, &device)),
                bias,
            )
        }
    };
    let mut scores = Vec::with_capacity(2);
    let mut values = Vec::with_capacity(2);
    for (rows, len, bias) in [(&kv.memory, memory_len, memory_bias), (&kv.open, open_len, open_bias)] {
        if len > 0 {
            let (k, v) = rows.first(len);
            let s = q.clone().matmul(k.transpose());
            scores.push(match bias {
                Some(bias) => s + bias,
                None => s,
            });
            values.push(v);
        }
    }
    let weights = activation::softmax(Tensor::cat(scores, 2), 2);
    let mut at = 0;
    let mut out: Option<Tensor<B, 3>> = None;
    for v in values {
        let len = v.dims()[1];
        let part = weights.clone().narrow(2, at, len).matmul(v);
        at += len;
        out = Some(match out {
            Some(sum) => sum + part,
            None => part,
        });
    }
    let out = out.expect("an element always sees itself");
    out.reshape([kv_heads, groups, n, head_dim])
        .permute([2, 0, 1, 3])
        .reshape([n, heads * head_dim])
}

/// Bias `[1, groups × n, before + n]`: query `i` sees the `before` earlier rows and the new ones up to itself.
fn causal<B: Backend>(n: usize, before: usize, groups: usize, device: &B::Device) -> Tensor<B, 3> {
    bias(n, before + n, groups, |i, j| j <= before + i, device)
}

/// Bias `[1, groups × n, columns]`: queries from `first` on see nothing.
fn hide_after<B: Backend>(n: usize, first: usize, columns: usize, groups: usize, device: &B::Device) -> Tensor<B, 3> {
    bias(n, columns, groups, |i, _| i < first, device)
}

fn bias<B: Backend>(
    n: usize,
    columns: usize,
    groups: usize,
    sees: impl Fn(usize, usize) -> bool,
    device: &B::Device,
) -> Tensor<B, 3> {
    let mut data = Vec::with_capacity(groups * n * columns);
    for i in 0..n {
        data.extend((0..columns).map(|j| if sees(i, j) { 0.0 } else { HIDDEN }));
    }
    for _ in 1..groups {
        data.extend_from_within(0..n * columns);
    }
    Tensor::from_data(TensorData::new(data, [1, groups * n, columns]), device)
}

/// Opens the checkpoint in `dir` on the CPU. `progress` hears the share of parameters read, 0 to 1.
///
/// # Errors
/// Whatever is wrong with the files: see [`crate::checkpoint::Checkpoint`].
#[cfg(feature = "flex")]
pub fn load_cpu(dir: &std::path::Path, config: &Config, progress: &mut dyn FnMut(f32)) -> Result<Box<dyn Runner>> {
    let checkpoint = crate::checkpoint::Checkpoint::open(dir)?;
    checkpoint.check(config)?;
    let total: usize = crate::checkpoint::tensors(config)
        .iter()
        .map(|s| s.shape.iter().product::<usize>())
        .sum();
    let mut done = 0;
    let device = Default::default();
    let model = Vist2::<burn_flex::Flex>::build(
        config,
        &mut |spec| {
            let values = checkpoint.read_f32(spec)?;
            done += values.len();
            progress(done as f32 / total.max(1) as f32);
            Ok(values)
        },
        &device,
    )?;
    Ok(Box::new(BurnRunner::new(model, device, "cpu (flex)")))
}
