//! A runner that only keeps the books, to test the measurements with.

use folio_engine::config::{Config, preset};
use folio_engine::context::Context;
use folio_engine::page::{PageImage, Patches};
use folio_engine::runner::{Folded, Logits, Runner, Want};
use folio_engine::{Error, Pending, Result, ready};

pub(crate) struct StandIn {
    config: Config,
    context: Context,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        Self {
            config: preset("folio-nano").expect("a preset"),
            context: Context::new(),
        }
    }

    fn logits(want: Want) -> Logits {
        let data = if want == Want::Nothing {
            Vec::new()
        } else {
            vec![0.0, 1.0]
        };
        Logits { data, vocab: 2 }
    }

    fn extend_now(&mut self, ids: &[u32], want: Want) -> Result<Logits> {
        let (slots, limit) = (
            self.context.slots() + ids.len(),
            self.config.text.max_position_embeddings,
        );
        if slots > limit {
            return Err(Error::ContextFull { slots, limit });
        }
        self.context.extend(ids.len());
        Ok(Self::logits(want))
    }
    fn fold_now(&mut self, pages: &[PageImage], want: Want) -> Result<Folded> {
        let fold = self.config.fold.as_ref().expect("it folds");
        let slots: Vec<usize> = pages.iter().map(|page| Patches::new(page, fold).slots).collect();
        for &n in &slots {
            self.context.fold(n);
        }
        Ok(Folded {
            slots,
            logits: Self::logits(want),
            encode_s: 0.0,
            prefill_s: 0.0,
        })
    }
}

impl Runner for StandIn {
    fn config(&self) -> &Config {
        &self.config
    }
    fn context(&self) -> &Context {
        &self.context
    }
    fn reset(&mut self) {
        self.context = Context::new();
    }
    fn extend<'a>(&'a mut self, ids: &'a [u32], want: Want) -> Pending<'a, Logits> {
        ready(self.extend_now(ids, want))
    }
    fn fold<'a>(&'a mut self, pages: &'a [PageImage], want: Want) -> Pending<'a, Folded> {
        ready(self.fold_now(pages, want))
    }
    fn keep_open(&mut self) {
        self.context.keep_open();
    }
    fn drop_open(&mut self) {
        self.context.drop_open();
    }
    fn evict(&mut self, n: usize) {
        self.context.evict(n);
    }
    fn kv_bytes_per_slot(&self) -> usize {
        1
    }
    fn weight_bytes(&self) -> usize {
        0
    }
    fn device(&self) -> String {
        "stand-in".to_owned()
    }
}
