//! A runner whose logits are a hash of everything that the last token sees: positions, ids and pixels, through all
//! earlier entries. Any difference in what was run, in what order or with which memory changes every later number.

use std::sync::{Arc, Mutex};

use crate::config::{AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, VisionConfig, preset};
use crate::context::Context;
use crate::page::{PageImage, Patches};
use crate::runner::{Folded, Logits, Runner, Want, by_page};
use crate::text::{Tokenizer, byte_level_tokenizer_json};
use crate::{Error, Pending, Result, ready};

/// Byte-level, K = 16, β = 4 (two lines of two strips of 6 cells), pages of 24 cells.
pub(crate) fn config() -> Config {
    let mut config = preset("folio-nano").unwrap();
    config.text.vocab_size = 258;
    config.text.max_position_embeddings = 4096;
    config.fold = Some(FoldConfig {
        vision: VisionConfig {
            hidden_size: 8,
            intermediate_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            layer_norm_eps: 1e-6,
            num_channels: 1,
            patch_height: 16,
            patch_width: 48,
            image_height: 32,
            image_width: 96,
        },
        aligner: AlignerConfig {
            kind: AlignerKind::Linear,
            hidden_size: None,
        },
        page: PageConfig {
            font_px: 14.0,
            cell_width: 8,
            cell_height: 16,
            newline: '¶',
        },
        chunk_tokens: 16,
        visual_tokens: 4,
        visual_sees_text: false,
        reread_tokens: 0,
        skip_blank_patches: true,
        page_encoder: Default::default(),
    });
    config
}

pub(crate) fn tokenizer() -> Arc<Tokenizer> {
    let json = byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 1)]);
    Arc::new(Tokenizer::from_bytes(json.as_bytes(), "test").unwrap())
}

pub(crate) struct MockRunner {
    config: Config,
    context: Context,
    memory: Vec<u64>,
    open: Vec<u64>,
    /// Calls made, for tests of batching.
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    /// Tokens run as text.
    pub(crate) run: usize,
    /// Added to the logits of this byte's token, to steer texts.
    pub(crate) favour: Vec<(u32, f32)>,
    watching: bool,
    /// What text gave to each slot of the memory: a hash of both.
    asked: Vec<f64>,
}

fn mix(mut h: u64, x: u64) -> u64 {
    h ^= x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

impl MockRunner {
    pub(crate) fn new(config: Config) -> Self {
        let (context, memory, open) = (Context::new(), Vec::new(), Vec::new());
        Self {
            config,
            context,
            memory,
            open,
            calls: Arc::default(),
            run: 0,
            favour: Vec::new(),
            watching: false,
            asked: Vec::new(),
        }
    }

    fn called(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    fn row(&self, entry: u64) -> Vec<f32> {
        let vocab = self.config.text.vocab_size as u64;
        let mut row: Vec<f32> = (0..vocab)
            .map(|i| (mix(entry, i) >> 40) as f32 / (1u64 << 22) as f32)
            .collect();
        self.favour.iter().for_each(|&(id, by)| row[id as usize] += by);
        row
    }

    fn logits(&self, entries: &[u64], want: Want) -> Logits {
        let entries = match want {
            Want::Nothing => &[],
            Want::Last | Want::Kept => &entries[entries.len() - 1..],
            Want::All => entries,
        };
        let data = entries.iter().flat_map(|&e| self.row(e)).collect();
        Logits {
            data,
            vocab: self.config.text.vocab_size,
        }
    }

    fn room(&self, slots: usize) -> Result<()> {
        let limit = self.config.text.max_position_embeddings;
        if slots > limit {
            Err(Error::ContextFull { slots, limit })
        } else {
            Ok(())
        }
    }

    fn entry(&self, position: usize, what: u64, own: &[u64]) -> u64 {
        let seen = self.memory.iter().chain(own).fold(7, |h, &e| mix(h, e));
        mix(mix(seen, position as u64), what)
    }

    fn extend_now(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
        self.room(self.context.slots() + ids.len())?;
        self.called(format!("extend {}", ids.len()));
        self.run += ids.len();
        let start = self.open.len();
        for (position, &id) in self.context.extend(ids.len()).zip(ids) {
            let entry = self.entry(position, u64::from(id), &self.open);
            if self.watching {
                self.asked.resize(self.memory.len(), 0.0);
                for (sum, &slot) in self.asked.iter_mut().zip(&self.memory) {
                    *sum += (mix(slot, entry) >> 60) as f64;
                }
            }
            self.open.push(entry);
        }
        Ok(self.logits(&self.open[start..], want))
    }

    fn fold_now(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
        let Some(fold) = self.config.fold.clone() else {
            return Err(Error::Argument("text-only".into()));
        };
        let patches: Vec<Patches> = pages.iter().map(|page| Patches::new(page, &fold)).collect();
        let slots: Vec<usize> = patches.iter().map(|p| p.slots).collect();
        self.room(self.context.memory_slots() + slots.iter().sum::<usize>())?;
        self.called(format!("fold {}", pages.len()));
        let mut last = 0;
        for (page, patches) in pages.iter().zip(&patches) {
            let text = if fold.visual_sees_text {
                std::mem::take(&mut self.open)
            } else {
                Vec::new()
            };
            self.open.clear();
            let len = fold.vision.patch_len();
            let mut own = text.clone();
            for (t, position) in self.context.fold(patches.slots).enumerate() {
                let ink = patches.data[t * len..(t + 1) * len]
                    .iter()
                    .fold(1, |h, x| mix(h, u64::from(x.to_bits())));
                let entry = self.entry(position, mix(ink, u64::from(page.background)), &own);
                own.push(entry);
            }
            self.memory.extend(&own[text.len()..]);
            last = self.memory[self.memory.len() - 1];
        }
        Ok(Folded {
            slots,
            logits: self.logits(&[last], want),
            ..Folded::default()
        })
    }
}

impl Runner for MockRunner {
    fn config(&self) -> &Config {
        &self.config
    }

    fn context(&self) -> &Context {
        &self.context
    }

    fn reset(&mut self) {
        self.context = Context::new();
        self.memory.clear();
        self.open.clear();
        self.asked.clear();
    }

    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        ready(self.extend_now(ids, want))
    }

    fn fold<'a>(&'a mut self, pages: &'a [PageImage], want: Want) -> Pending<'a, Folded> {
        ready(self.fold_now(pages, want))
    }

    fn unfold<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        let watching = std::mem::take(&mut self.watching);
        let done = self.extend_now(ids, want);
        self.watching = watching;
        self.context.drop_open();
        self.context.unfold(ids.len());
        self.asked.clear();
        if let Some(call) = self.calls.lock().unwrap().last_mut() {
            *call = format!("unfold {}", ids.len());
        }
        ready(done)
    }

    fn watch_pages(&mut self, on: bool) -> Result<()> {
        self.watching = on;
        Ok(())
    }

    fn pages_asked(&mut self) -> Pending<'_, Vec<f64>> {
        ready(Ok(by_page(&self.context, &self.asked)))
    }

    fn keep_open(&mut self) {
        self.context.keep_open();
        self.memory.append(&mut self.open);
    }

    fn drop_open(&mut self) {
        self.context.drop_open();
        self.open.clear();
    }

    fn evict(&mut self, n: usize) {
        self.context.evict(n);
        self.memory.drain(..n);
    }

    fn kv_bytes_per_slot(&self) -> usize {
        10
    }

    fn weight_bytes(&self) -> usize {
        0
    }

    fn device(&self) -> String {
        "mock".into()
    }
}
