//! The runner over a machine: [`Context`]'s bookkeeping, and recordings that follow it.

use super::kv::Kv;
use super::machine::{Counts, KernelTime, Machine, Slice};
use super::plan::MemoryPlan;
use super::program::{Draw, Program, decode_draw};
use super::recording::Recording;
use super::scratch::{LOGIT_ROWS, Scratch, batch_pages, batch_rows};
use super::source::TensorSource;
use super::weights::Weights;
use crate::clock::Stopwatch;
use crate::config::{Config, FoldConfig};
use crate::context::Context;
use crate::page::{PageImage, Patches};
use crate::runner::{DrawRequest, Drawn, Folded, Logits, Runner, Want};
use crate::{Error, Result};
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
}

impl<M: Machine> GpuRunner<M> {
    /// Plans, uploads and compiles. `progress` hears what is done, and how much of it, 0 to 1.
    ///
    /// # Errors
    /// A model that the machine cannot hold or compute (with the numbers), files that are damaged, a lost device.
    pub fn new(
        mut machine: M,
        config: &Config,
        source: Box<dyn TensorSource>,
        slots: usize,
        progress: &mut dyn FnMut(&str, f32),
    ) -> Result<Self> {
        let slots = slots.max(FIRST_SLOTS.min(config.text.max_position_embeddings));
        MemoryPlan::new(config, source.as_ref(), slots)?.check(config, &machine.limits())?;
        let program = build(&mut machine, config, source.as_ref(), slots, progress)?;
        Ok(Self {
            machine,
            program,
            source,
            context: Context::new(),
            pending: Recording::default(),
            kept: false,
        })
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Frees everything, and gives the machine back.
    pub fn into_machine(mut self) -> M {
        for buffer in self.program.buffers() {
            self.machine.free(buffer);
        }
        self.machine
    }

    /// Plays what is pending, and reads.
    fn flush(&mut self, read: Option<Slice>) -> Result<Vec<u8>> {
        if self.pending.is_empty() && read.is_none() {
            return Ok(Vec::new());
        }
        let recording = std::mem::take(&mut self.pending);
        block_on(self.machine.run(&recording, read))
    }

    /// Room for `rows` KV rows.
    fn make_room(&mut self, rows: usize) -> Result<()> {
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
        self.flush(None)?;
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
    fn logits(&mut self, n: usize, want: Want, what: &str) -> Result<Vec<f32>> {
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
            let bytes = self.flush(Some(Slice {
                buffer,
                offset: 0,
                bytes: 4 * (rows * vocab) as u64,
            }))?;
            all.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            row += rows;
        }
        match all.iter().all(|v| v.is_finite()) {
            true => Ok(all),
            false => Err(Error::NotFinite(what.to_owned())),
        }
    }

    fn try_extend(&mut self, ids: &[u32], want: Want) -> Result<Vec<f32>> {
        let batch = batch_rows(&self.program.config);
        let blocks = ids.len().div_ceil(batch);
        let mut all = Vec::new();
        for (i, block) in ids.chunks(batch).enumerate() {
            self.flush(None)?;
            let step = self.context.extend_step(block.len());
            self.make_room(step.row + block.len())?;
            self.program.text(&mut self.pending, block, &step);
            self.context.extend(block.len());
            let wanted = match want {
                Want::Last | Want::Kept if i + 1 < blocks => Want::Nothing,
                want => want,
            };
            all.extend(self.logits(block.len(), wanted, "after text")?);
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
    fn settle(&mut self) -> Result<()> {
        let read = Slice {
            buffer: self.program.scratch.unused,
            offset: 0,
            bytes: 4,
        };
        self.flush(Some(read)).map(drop)
    }

    fn try_fold(&mut self, pages: &[PageImage], fold: &FoldConfig, want: Want) -> Result<Folded> {
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
            self.flush(None)?;
            let (pages, slots) = (&pages[batch.clone()], &slots[batch]);
            let n: usize = slots.iter().sum();
            self.make_room(self.context.fold_rows(slots))?;
            let (step, commit) = self.context.fold_step(slots, fold.visual_sees_text);
            // Waiting twice per batch is what telling encoder and decoder apart costs: microseconds, once a page.
            let start = Stopwatch::start();
            if let Some(vision) = &self.program.weights.vision {
                self.program.encode(&mut self.pending, fold, vision, pages, slots);
            }
            self.settle()?;
            folded.encode_s += start.seconds();
            let start = Stopwatch::start();
            self.program.blocks(&mut self.pending, &step);
            self.settle()?;
            folded.prefill_s += start.seconds();
            let wanted = if i == last { want } else { Want::Nothing };
            folded.logits.data = self.logits(n, wanted, "after folding a page")?;
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

    /// Runs `f`; when it fails, the context is what it was.
    fn guarded<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        // What earlier calls recorded is theirs: it is played whatever becomes of this one.
        self.flush(None)?;
        let before = self.context.clone();
        self.kept = false;
        let result = f(self);
        if result.is_err() {
            self.context = before;
            self.pending = Recording::default();
        }
        result
    }
}

fn build<M: Machine>(
    machine: &mut M,
    config: &Config,
    source: &dyn TensorSource,
    slots: usize,
    progress: &mut dyn FnMut(&str, f32),
) -> Result<Program> {
    let weights = Weights::load(machine, config, source, &mut |share| progress("loading", share))?;
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

/// Waits for a future of a machine outside a browser, where it is ready at once.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::yield_now(),
        }
    }
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
    }

    fn extend(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
        let vocab = self.program.config.text.vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Argument(format!(
                "token id {id} is outside the vocabulary (0 to {})",
                vocab - 1
            )));
        }
        self.check_room(ids.len())?;
        let data = self.guarded(|runner| runner.try_extend(ids, want))?;
        Ok(Logits { data, vocab })
    }

    fn fold(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
        let Some(fold) = self.program.config.fold.clone() else {
            return Err(crate::session::cannot_fold());
        };
        self.guarded(|runner| runner.try_fold(pages, &fold, want))
    }

    fn draw(&mut self, request: &DrawRequest<'_>) -> Result<Option<Drawn>> {
        if !self.kept || !Program::can_draw(request) {
            return Ok(None);
        }
        self.program.draw(&mut self.pending, request);
        let bytes = self.flush(Some(Slice {
            buffer: self.program.scratch.sampled,
            offset: 0,
            bytes: Draw::BYTES,
        }))?;
        // Penalties are written into the logits: they are drawn from once.
        self.kept = false;
        decode_draw(&bytes).map(Some)
    }

    fn kept_logits(&mut self) -> Result<Logits> {
        let vocab = self.program.config.text.vocab_size;
        if !self.kept {
            return Ok(Logits::default());
        }
        let bytes = self.flush(Some(Slice {
            buffer: self.program.scratch.logits,
            offset: 0,
            bytes: 4 * vocab as u64,
        }))?;
        Ok(Logits {
            data: bytemuck::pod_collect_to_vec(&bytes),
            vocab,
        })
    }

    fn recover(&mut self) -> Result<bool> {
        block_on(self.machine.renew())?;
        let (config, slots) = (self.program.config.clone(), self.program.kv.slots);
        self.program = build(&mut self.machine, &config, self.source.as_ref(), slots, &mut |_, _| {})?;
        self.reset();
        Ok(true)
    }

    fn reserve(&mut self, slots: usize) -> Result<()> {
        let limit = self.program.config.text.max_position_embeddings;
        self.make_room(slots.min(limit))
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
