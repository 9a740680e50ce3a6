//! The incremental runner: one context, step by step, over preallocated KV.

mod attend;
mod encode;
mod load;
mod rows;
#[cfg(all(test, feature = "flex"))]
mod watch_tests;

use self::attend::attend;
pub use self::load::open;
#[cfg(feature = "flex")]
pub use self::load::{load_cpu, load_cpu_with};

use self::rows::RowKv;
use super::fused::Fused;
use super::kv::{LayerKv, Rows};
use super::params::visit_params_dtypes;
use super::rope::Rope;
use super::vist2::Vist2;
use crate::config::Config;
use crate::context::Context;
use crate::cost::meter;
use crate::page::PageImage;
use crate::runner::{Folded, Logits, Runner, Want, by_page, cannot_unfold};
use crate::{Error, Pending, Result, ready};
use burn::module::Module;
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData, backend::Backend};
use std::time::Instant;

/// Most text tokens run at once: bounds the attention scores of a long prompt.
const BLOCK: usize = 256;
/// Memory slots allocated at the start.
const FIRST_CAPACITY: usize = 1024;

/// A burn model with one context.
#[derive(Debug)]
pub struct BurnRunner<B: Backend> {
    model: Vist2<B>,
    config: Config,
    context: Context,
    kv: Vec<LayerKv<B>>,
    /// In place of `kv` where the backend has [`Fused::KV_IN_ROWS`].
    rows: Option<RowKv<B>>,
    /// Token ids of the pages of the next fold.
    page_ids: Vec<Vec<u32>>,
    /// Whether the attention that text gives to the memory is added up.
    watching: bool,
    /// What each slot of the memory was given so far.
    watched: Vec<f64>,
    kv_type: KvType,
    device: B::Device,
    name: String,
    flops: u64,
}

/// How keys and values are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the memory, and every key and value rounded to 11 bits. Only of [`load_cpu_with`].
    F16,
}

impl KvType {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
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
            rows: None,
            page_ids: Vec::new(),
            watching: false,
            watched: Vec::new(),
            kv_type: KvType::F32,
            device,
            name: name.into(),
            flops: 0,
        };
        runner.reset();
        runner
    }

    /// Runs embeddings `x`, `[n, d]`, at `positions` through all blocks, writing their KV. Gives `[n, d]`.
    fn run(&mut self, mut x: Tensor<B, 2>, positions: &[usize], into: Into) -> Tensor<B, 2> {
        let c = &self.config.text;
        let rope = Rope::new(positions, c.head_dim, c.rope_theta, &self.device);
        if let Some(mut rows) = self.rows.take() {
            let x = self.run_rows(&mut rows, x, &rope, into);
            self.rows = Some(rows);
            return x;
        }
        let (memory, open) = (self.context.memory_slots(), self.context.open_slots());
        let watches = self.watching && into == Into::Open;
        for (layer, kv) in self.model.language_model.model.layers.iter().zip(&mut self.kv) {
            let watched = watches.then_some(&mut self.watched);
            x = layer.forward(x, &rope, |qkv| attend(qkv, kv, memory, open, into, watched));
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
            Want::Last | Want::Kept => {
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

    /// Runs `f` where the backend's threads are, and adds the operations that it counts there.
    fn metered<R: Send>(&mut self, f: impl FnOnce(&mut Self) -> R + Send) -> R {
        B::on_workers(|| {
            let before = meter::counted();
            let done = f(self);
            self.flops += meter::counted().wrapping_sub(before);
            done
        })
    }

    fn extend_now(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
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
            // A table of 16 bits gives rows of 16 bits.
            let x = self
                .model
                .language_model
                .model
                .embed_tokens
                .forward(index)
                .cast(FloatDType::F32);
            let start = self.context.next_position();
            let positions: Vec<usize> = (start..start + block.len()).collect();
            let x = self.run(x, &positions, Into::Open);
            self.context.extend(block.len());
            let wanted = if matches!(want, Want::Last | Want::Kept) && i + 1 < blocks {
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

    fn fold_now(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
        let start = Instant::now();
        let ids = std::mem::take(&mut self.page_ids);
        let (visual, slots) = self.encode(pages, &ids)?;
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
        let dtype = self.kv_type.dtype();
        let rows = |n| Rows::new(c.num_key_value_heads, n, c.head_dim, dtype, &self.device);
        self.rows = B::KV_IN_ROWS.then(|| RowKv::new(c.num_hidden_layers, memory, c.kv_size(), &self.device));
        let split = if B::KV_IN_ROWS { 0 } else { c.num_hidden_layers };
        self.kv = (0..split)
            .map(|_| LayerKv {
                memory: rows(memory),
                open: rows(open),
            })
            .collect();
        self.context = Context::new();
        self.watched.clear();
    }

    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        ready(self.metered(|runner| runner.extend_now(ids, want)))
    }

    fn unfold<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        let before = meter::counted();
        let watching = std::mem::take(&mut self.watching);
        let done = self.extend_now(ids, want);
        self.watching = watching;
        if done.is_ok() {
            self.watched.clear();
            // What was run stands where the open chunk begins: now it is told apart from it.
            self.context.drop_open();
            self.context.unfold(ids.len());
        }
        self.flops += meter::counted().wrapping_sub(before);
        ready(done)
    }

    fn watch_pages(&mut self, on: bool) -> Result<()> {
        if on && B::KV_IN_ROWS {
            return Err(cannot_unfold());
        }
        self.watching = on;
        Ok(())
    }

    fn pages_asked(&mut self) -> Pending<'_, Vec<f64>> {
        ready(Ok(by_page(&self.context, &self.watched)))
    }

    fn fold<'a>(&'a mut self, pages: &'a [PageImage], want: Want) -> Pending<'a, Folded> {
        ready(self.metered(|runner| runner.fold_now(pages, want)))
    }

    fn page_text(&mut self, ids: &[Vec<u32>]) {
        self.page_ids = ids.to_vec();
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
        if let Some(rows) = &mut self.rows {
            rows.evict(n, used + self.context.open_slots());
        }
        for kv in &mut self.kv {
            kv.memory.drop_front(n, used);
        }
        self.watched.drain(..n.min(self.watched.len()));
        self.context.evict(n);
    }

    fn kv_bytes_per_slot(&self) -> usize {
        2 * self.config.text.num_hidden_layers * self.config.text.kv_size() * self.kv_type.dtype().size()
    }

    fn weight_bytes(&self) -> usize {
        let mut bytes = 0;
        visit_params_dtypes(&self.model, &mut |elements, dtype| bytes += elements * dtype.size());
        bytes
    }

    fn device(&self) -> String {
        self.name.clone()
    }

    fn flops(&self) -> Option<u64> {
        // KV in rows is attended to by kernels that count nothing.
        (!B::KV_IN_ROWS).then_some(self.flops)
    }
}
