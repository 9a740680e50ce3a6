//! The runner over a machine: [`Context`]'s bookkeeping, and recordings that follow it.

use super::kv::Kv;
use super::machine::{Counts, KernelTime, Machine, Slice};
use super::plan::MemoryPlan;
use super::program::{DRAWN_BYTES, Program, decode_draw};
use super::recording::Recording;
use super::scratch::{LOGIT_ROWS, Scratch, batch_pages, batch_rows};
use super::source::TensorSource;
use super::watch::Watch;
use super::weights::Weights;
use crate::clock::Stopwatch;
use crate::config::{Config, FoldConfig, PageEncoder};
use crate::context::Context;
use crate::page::{PageImage, Patches};
use crate::runner::{DrawRequest, Drawn, Folded, Logits, Runner, Want, by_page};
use crate::{Error, Pending, Result};
use folio_shaders::KERNELS;

/// Slots that the KV holds at first, unless more are asked for.
const FIRST_SLOTS: usize = 1024;

/// A model with one context on a machine.
pub struct GpuRunner<M> {
    machine: M,
    program: Program,
    source: Box<dyn TensorSource>,
    context: Context,
    /// Recorded, not yet played.
    pending: Recording,
    /// Whether the first row of logits is that of the last token.
    kept: bool,
    /// What adds up which pages text asks for; made when it is first wanted.
    watch: Option<Watch>,
    /// Whether it does so now.
    watching: bool,
}

impl<M: Machine> GpuRunner<M> {
    /// Plans, uploads and compiles. `progress` hears what is done, and how much of it, 0 to 1.
    ///
    /// # Errors
    /// A model that the machine cannot hold or compute (with the numbers), files that are damaged, a lost device.
    pub async fn new(
        mut machine: M,
        config: &Config,
        source: Box<dyn TensorSource>,
        slots: usize,
        progress: &mut dyn FnMut(&str, f32),
    ) -> Result<Self> {
        if let Some(fold) = config
            .fold
            .as_ref()
            .filter(|fold| fold.page_encoder != PageEncoder::Vision)
        {
            let what = format!(
                "page_encoder \"{}\" runs on the CPU only: add --device cpu",
                fold.page_encoder.name()
            );
            return Err(Error::Gpu(what));
        }
        let slots = slots.max(FIRST_SLOTS).min(config.text.max_position_embeddings);
        MemoryPlan::new(config, source.as_ref(), slots)?.check(config, &machine.limits())?;
        let program = build(&mut machine, config, source.as_ref(), slots, progress).await?;
        Ok(Self {
            machine,
            program,
            source,
            context: Context::new(),
            pending: Recording::default(),
            kept: false,
            watch: None,
            watching: false,
        })
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Frees everything, and gives the machine back.
    pub fn into_machine(mut self) -> M {
        let watch = self.watch.iter().flat_map(Watch::buffers);
        for buffer in self.program.buffers().into_iter().chain(watch) {
            self.machine.free(buffer);
        }
        self.machine
    }

    /// Plays what is pending, and reads.
    async fn flush(&mut self, read: Option<Slice>) -> Result<Vec<u8>> {
        if self.pending.is_empty() && read.is_none() {
            return Ok(Vec::new());
        }
        let recording = std::mem::take(&mut self.pending);
        self.machine.run(&recording, read).await
    }

    /// Room for `rows` KV rows.
    async fn make_room(&mut self, rows: usize) -> Result<()> {
        if rows <= self.program.kv.slots {
            return Ok(());
        }
        let config = &self.program.config;
        let plan = |slots| MemoryPlan::new(config, self.source.as_ref(), slots);
        // Twice as many, so that growing is rare; or just enough, where twice as many do not fit.
        let mut slots = 2 * rows;
        if plan(slots)?.check(config, &self.machine.limits()).is_err() {
            slots = rows;
            plan(slots)?.check(config, &self.machine.limits())?;
        }
        self.flush(None).await?;
        self.program
            .kv
            .grow(&mut self.machine, &self.program.config.text, slots)
    }

    fn check_room(&self, extra: usize) -> Result<()> {
        let limit = self.program.config.text.max_position_embeddings;
        let slots = self.context.slots() + extra;
        match slots > limit {
            true => Err(Error::ContextFull { slots, limit }),
            false => Ok(()),
        }
    }

    /// Records the logits of the last `rows` rows of a batch of `n`, and reads them where they are wanted.
    async fn logits(&mut self, n: usize, want: Want, what: &str) -> Result<Vec<f32>> {
        let vocab = self.program.config.text.vocab_size;
        let (mut row, mut all) = (n - 1, Vec::new());
        match want {
            Want::Nothing => return Ok(all),
            Want::Kept => {
                self.program.logits(&mut self.pending, n - 1, 1);
                self.kept = true;
                return Ok(all);
            }
            Want::Last => {}
            Want::All => row = 0,
        }
        while row < n {
            let rows = (n - row).min(LOGIT_ROWS);
            let buffer = self.program.logits(&mut self.pending, row, rows);
            let slice = Slice {
                buffer,
                offset: 0,
                bytes: 4 * (rows * vocab) as u64,
            };
            let bytes = self.flush(Some(slice)).await?;
            all.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            row += rows;
        }
        match all.iter().all(|v| v.is_finite()) {
            true => Ok(all),
            false => Err(Error::NotFinite(what.to_owned())),
        }
    }

    async fn try_extend(&mut self, ids: &[u32], want: Want) -> Result<Vec<f32>> {
        let batch = batch_rows(&self.program.config);
        let blocks = ids.len().div_ceil(batch);
        let mut all = Vec::new();
        for (i, block) in ids.chunks(batch).enumerate() {
            self.flush(None).await?;
            let step = self.context.extend_step(block.len());
            self.make_room(step.row + block.len()).await?;
            let watch = match &mut self.watch {
                Some(watch) if self.watching => {
                    watch.ready(&mut self.machine, self.program.kv.slots, self.context.memory_slots())?;
                    Some(&*watch)
                }
                _ => None,
            };
            self.program.text(&mut self.pending, block, &step, watch);
            self.context.extend(block.len());
            let wanted = match want {
                Want::Last | Want::Kept if i + 1 < blocks => Want::Nothing,
                want => want,
            };
            all.extend(self.logits(block.len(), wanted, "after text").await?);
        }
        Ok(all)
    }

    /// The slots of each page, and the batches of pages that run together.
    fn batches(&self, pages: &[PageImage], fold: &FoldConfig) -> (Vec<usize>, Vec<std::ops::Range<usize>>) {
        let config = &self.program.config;
        let (rows, most) = (batch_rows(config), batch_pages(config));
        let slots: Vec<usize> = pages.iter().map(|page| Patches::ink_slots(page, fold)).collect();
        let (mut batches, mut start, mut sum) = (Vec::new(), 0, 0);
        for (i, &n) in slots.iter().enumerate() {
            if i > start && (sum + n > rows || i - start == most) {
                batches.push(start..i);
                (start, sum) = (i, 0);
            }
            sum += n;
        }
        batches.push(start..slots.len());
        (slots, batches)
    }

    /// Waits until everything recorded is done.
    async fn settle(&mut self) -> Result<()> {
        let read = Slice {
            buffer: self.program.scratch.unused,
            offset: 0,
            bytes: 4,
        };
        self.flush(Some(read)).await.map(drop)
    }

    async fn try_fold(&mut self, pages: &[PageImage], fold: &FoldConfig, want: Want) -> Result<Folded> {
        let (slots, batches) = self.batches(pages, fold);
        let total: usize = slots.iter().sum();
        // Without `visual_sees_text` the text is given up before the visual tokens come.
        let open = if fold.visual_sees_text {
            0
        } else {
            self.context.open_slots()
        };
        self.check_room(total.saturating_sub(open))?;
        let last = batches.len() - 1;
        let mut folded = Folded {
            slots: slots.clone(),
            ..Folded::default()
        };
        for (i, batch) in batches.into_iter().enumerate() {
            self.flush(None).await?;
            let (pages, slots) = (&pages[batch.clone()], &slots[batch]);
            let n: usize = slots.iter().sum();
            self.make_room(self.context.fold_rows(slots)).await?;
            let (step, commit) = self.context.fold_step(slots, fold.visual_sees_text);
            // Waiting twice per batch is what telling encoder and decoder apart costs: microseconds, once a page.
            let start = Stopwatch::start();
            if let Some(vision) = &self.program.weights.vision {
                self.program.encode(&mut self.pending, fold, vision, pages, slots);
            }
            self.settle().await?;
            folded.encode_s += start.seconds();
            let start = Stopwatch::start();
            self.program.blocks(&mut self.pending, &step, None);
            self.settle().await?;
            folded.prefill_s += start.seconds();
            let wanted = if i == last { want } else { Want::Nothing };
            folded.logits.data = self.logits(n, wanted, "after folding a page").await?;
            // Only now: until its logits are known to be numbers, the page must not stand where the text stood.
            if let Some(commit) = commit {
                self.program.commit(&mut self.pending, &commit);
            }
            for &n in slots {
                self.context.fold(n);
            }
        }
        folded.logits.vocab = self.program.config.text.vocab_size;
        Ok(folded)
    }

    /// What was added up so far counts no more.
    fn forget_asked(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.stale = true;
        }
    }

    /// Runs `f`; when it fails, the context is what it was.
    async fn guarded<T>(&mut self, f: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        // What earlier calls recorded is theirs: it is played whatever becomes of this one.
        self.flush(None).await?;
        let before = self.context.clone();
        self.kept = false;
        let result = f(self).await;
        if result.is_err() {
            self.context = before;
            self.pending = Recording::default();
        }
        result
    }
}

async fn build<M: Machine>(
    machine: &mut M,
    config: &Config,
    source: &dyn TensorSource,
    slots: usize,
    progress: &mut dyn FnMut(&str, f32),
) -> Result<Program> {
    let weights = Weights::load(machine, config, source, &mut |share| progress("loading", share)).await?;
    let half = config.text.head_dim / 2;
    let program = Program {
        weights,
        scratch: Scratch::new(machine, config)?,
        kv: Kv::new(machine, &config.text, slots)?,
        style: machine.style(),
        inverse_frequencies: (0..half)
            .map(|i| config.text.rope_theta.powf(-(i as f64) / half as f64))
            .collect(),
        config: config.clone(),
    };
    let kernels: Vec<_> = program.kernels().into_iter().map(|i| &KERNELS[i]).collect();
    machine.prepare(&kernels, &mut |share| progress("compiling", share))?;
    Ok(program)
}

impl<M: Machine> Runner for GpuRunner<M> {
    fn config(&self) -> &Config {
        &self.program.config
    }

    fn context(&self) -> &Context {
        &self.context
    }

    fn reset(&mut self) {
        self.pending = Recording::default();
        self.kept = false;
        self.context = Context::new();
        self.forget_asked();
    }

    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        Box::pin(async move {
            let vocab = self.program.config.text.vocab_size;
            if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
                return Err(Error::Argument(format!(
                    "token id {id} is outside the vocabulary (0 to {})",
                    vocab - 1
                )));
            }
            self.check_room(ids.len())?;
            let data = self.guarded(async |runner| runner.try_extend(ids, want).await).await?;
            Ok(Logits { data, vocab })
        })
    }

    fn unfold<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        Box::pin(async move {
            let watching = std::mem::take(&mut self.watching);
            let done = self.extend(ids, want).await;
            self.watching = watching;
            if done.is_ok() {
                // Waited for, once a chunk, so that the statistics can tell what it takes.
                if let Err(error) = self.settle().await {
                    self.context.drop_open();
                    return Err(error);
                }
                // What was run stands where the open chunk begins: now it is told apart from it.
                self.context.drop_open();
                self.context.unfold(ids.len());
                self.forget_asked();
            }
            done
        })
    }

    fn watch_pages(&mut self, on: bool) -> Result<()> {
        if on && self.watch.is_none() {
            let slots = self.program.kv.slots;
            self.watch = Some(Watch::new(&mut self.machine, &self.program.config, slots)?);
        }
        self.watching = on;
        Ok(())
    }

    fn pages_asked(&mut self) -> Pending<'_, Vec<f64>> {
        Box::pin(async move {
            let slots = match &self.watch {
                Some(watch) if !watch.stale && watch.memory > 0 => {
                    let slice = Slice {
                        buffer: watch.asked,
                        offset: 0,
                        bytes: 4 * watch.memory as u64,
                    };
                    let bytes = self.flush(Some(slice)).await?;
                    bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)
                }
                _ => Vec::new(),
            };
            Ok(by_page(
                &self.context,
                &slots.into_iter().map(f64::from).collect::<Vec<_>>(),
            ))
        })
    }

    fn fold<'a>(&'a mut self, pages: &'a [PageImage], want: Want) -> Pending<'a, Folded> {
        Box::pin(async move {
            let Some(fold) = self.program.config.fold.clone() else {
                return Err(crate::session::cannot_fold());
            };
            self.guarded(async |runner| runner.try_fold(pages, &fold, want).await)
                .await
        })
    }

    fn draw<'a>(&'a mut self, request: &'a DrawRequest<'_>) -> Pending<'a, Option<Drawn>> {
        Box::pin(async move {
            if !self.kept || !Program::can_draw(request) {
                return Ok(None);
            }
            self.program.draw(&mut self.pending, request);
            let slice = Slice {
                buffer: self.program.scratch.sampled,
                offset: 0,
                bytes: DRAWN_BYTES,
            };
            let bytes = self.flush(Some(slice)).await?;
            // A token is drawn once from what a call left; the next call leaves its own.
            self.kept = false;
            decode_draw(&bytes).map(Some)
        })
    }

    fn kept_logits(&mut self) -> Pending<'_, Logits> {
        Box::pin(async move {
            let vocab = self.program.config.text.vocab_size;
            if !self.kept {
                return Ok(Logits::default());
            }
            let slice = Slice {
                buffer: self.program.scratch.logits,
                offset: 0,
                bytes: 4 * vocab as u64,
            };
            let bytes = self.flush(Some(slice)).await?;
            Ok(Logits {
                data: bytemuck::pod_collect_to_vec(&bytes),
                vocab,
            })
        })
    }

    fn recover(&mut self) -> Pending<'_, bool> {
        Box::pin(async move {
            self.machine.renew().await?;
            let (config, slots) = (self.program.config.clone(), self.program.kv.slots);
            // It went with the device.
            self.watch = None;
            self.program = build(&mut self.machine, &config, self.source.as_ref(), slots, &mut |_, _| {}).await?;
            self.reset();
            self.watch_pages(self.watching)?;
            Ok(true)
        })
    }

    fn reserve(&mut self, slots: usize) -> Pending<'_, ()> {
        Box::pin(async move {
            let limit = self.program.config.text.max_position_embeddings;
            self.make_room(slots.min(limit)).await
        })
    }

    fn counts(&self) -> Option<Counts> {
        Some(Counts {
            kv_bytes: self.program.kv.bytes(&self.program.config.text),
            ..self.machine.counts()
        })
    }

    fn kernel_times(&self) -> Vec<KernelTime> {
        self.machine.kernel_times()
    }

    fn keep_open(&mut self) {
        self.context.keep_open();
    }

    fn drop_open(&mut self) {
        self.context.drop_open();
    }

    fn evict(&mut self, n: usize) {
        // The open chunk lies behind the memory and moves with it.
        self.program.evict(&mut self.pending, n, self.context.slots());
        self.context.evict(n);
        // Slots have moved.
        self.forget_asked();
    }

    fn kv_bytes_per_slot(&self) -> usize {
        2 * self.program.config.text.num_hidden_layers * self.program.config.text.kv_size() * size_of::<f32>()
    }

    fn weight_bytes(&self) -> usize {
        self.program.weights.bytes as usize
    }

    fn device(&self) -> String {
        self.machine.name()
    }
}

impl<M: Machine> std::fmt::Debug for GpuRunner<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GpuRunner({})", self.machine.name())
    }
}
