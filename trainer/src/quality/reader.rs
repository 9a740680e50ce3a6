//! A model that reads chunk by chunk, and does with each finished one what its memory says.

use crate::{Error, Result};
use folio_engine::Wait;
use folio_engine::config::FoldConfig;
use folio_engine::page::{FontStack, PageImage, PageRenderer, Patches, Tint};
use folio_engine::runner::{Runner, Want};
use folio_engine::session::{ScoreMode, log_softmax};
use folio_engine::text::{Chunk, Chunker, Tokenizer};
use std::path::Path;

/// A model with one context.
pub struct Reader {
    /// `None` only while something else has it.
    pub(super) runner: Option<Box<dyn Runner>>,
    pub(super) tokenizer: Tokenizer,
    pub(super) fold: FoldConfig,
    pub(super) fonts: FontStack,
    /// What finished chunks become.
    pub(super) mode: ScoreMode,
    renderer: PageRenderer,
    /// Logits that predict the next token.
    next: Vec<f32>,
    /// Those after BOS.
    after_bos: Vec<f32>,
    /// Slots that a folded context would hold.
    held: usize,
}

impl Reader {
    /// A reader by `runner`, whose model folds by `fold`.
    pub fn new(
        runner: Box<dyn Runner>,
        tokenizer: Tokenizer,
        fold: FoldConfig,
        fonts: FontStack,
        mode: ScoreMode,
    ) -> Self {
        Self {
            runner: Some(runner),
            renderer: PageRenderer::new(&fold, fonts.clone()),
            tokenizer,
            fold,
            fonts,
            mode,
            next: Vec::new(),
            after_bos: Vec::new(),
            held: 0,
        }
    }

    /// The runner.
    pub(super) fn runner(&mut self) -> Result<&mut dyn Runner> {
        match &mut self.runner {
            Some(runner) => Ok(runner.as_mut()),
            None => Err(Error::Argument("the model is in use".to_owned())),
        }
    }

    /// Fails unless `self` cuts text into the chunks of `other`: then figures compare token by token.
    pub(super) fn check_like(&self, other: &Self, dir: &Path) -> Result<()> {
        let same = self.fold.chunk_tokens == other.fold.chunk_tokens
            && self.fold.page == other.fold.page
            && self.fold.cell_grid() == other.fold.cell_grid()
            && self.tokenizer.vocab_size() == other.tokenizer.vocab_size()
            && (0..self.tokenizer.vocab_size() as u32)
                .all(|id| self.tokenizer.token_bytes(id) == other.tokenizer.token_bytes(id));
        if same {
            return Ok(());
        }
        let what = "has another tokenizer, chunk length or page than the model that it is to be compared with";
        Err(Error::invalid(dir.display().to_string(), what))
    }

    /// The chunks that `ids` are divided into, the last one perhaps shorter.
    pub(super) fn chunks(&self, ids: &[u32]) -> Vec<Chunk> {
        let mut chunker = Chunker::new(self.renderer.typesetter().clone(), self.fold.chunk_tokens);
        let mut chunks = Vec::new();
        for &id in ids {
            chunker.step(id, self.tokenizer.token_bytes(id), |chunk| chunks.push(chunk));
        }
        if !chunker.is_empty() {
            chunks.push(chunker.close());
        }
        chunks
    }

    /// The page of `text`.
    pub(super) fn page(&self, text: &str) -> PageImage {
        self.renderer.render(text, Tint::White)
    }

    /// Begins a document with BOS.
    pub(super) fn start(&mut self) -> Result<()> {
        let bos = self.runner()?.config().bos_token_id;
        let runner = self.runner()?;
        runner.reset();
        let logits = runner.extend(&[bos], Want::Last).wait()?.last().to_vec();
        runner.keep_open();
        self.after_bos.clone_from(&logits);
        self.next = logits;
        self.held = 1 + self.fold.reread_tokens;
        Ok(())
    }

    /// Begins with nothing but the page of `chunk`, as `ocr` training does.
    pub(super) fn start_from_page(&mut self, chunk: &Chunk) -> Result<usize> {
        let page = self.page(&chunk.text);
        let runner = self.runner()?;
        runner.reset();
        runner.page_text(std::slice::from_ref(&chunk.ids));
        let folded = runner.fold(std::slice::from_ref(&page), Want::Last).wait()?;
        let slots = folded.slots.iter().sum();
        self.next = folded.logits.last().to_vec();
        Ok(slots)
    }

    /// Reads `ids` as open text. Gives each one's NLL and whether it was the likeliest.
    pub(super) fn read(&mut self, ids: &[u32]) -> Result<Vec<(f64, bool)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let logits = self.runner()?.extend(ids, Want::All).wait()?;
        let judged = ids.iter().enumerate().map(|(i, &id)| {
            let row = if i == 0 { &self.next[..] } else { logits.row(i - 1) };
            (-log_softmax(row, id as usize), likeliest(row, &[]) == id)
        });
        let judged = judged.collect();
        self.next = logits.last().to_vec();
        Ok(judged)
    }

    /// Ends the open chunk; its page shows `chunk`.
    pub(super) fn close(&mut self, chunk: &Chunk) -> Result<()> {
        self.close_with_page_of(chunk, &chunk.ids)
    }

    /// Ends the open chunk, whose tokens are `own`; its page shows `chunk`.
    pub(super) fn close_with_page_of(&mut self, chunk: &Chunk, own: &[u32]) -> Result<()> {
        let again = &own[own.len().saturating_sub(self.fold.reread_tokens)..];
        let page = self.page(&chunk.text);
        match self.mode {
            ScoreMode::Folded => {
                self.runner()?.page_text(std::slice::from_ref(&chunk.ids));
                let folded = self.runner()?.fold(std::slice::from_ref(&page), Want::Last).wait()?;
                self.next = folded.logits.last().to_vec();
                self.read_again(again)?;
            }
            ScoreMode::Full => self.runner()?.keep_open(),
            ScoreMode::Window => {
                self.held += Patches::ink_slots(&page, &self.fold);
                let held = self.held;
                let runner = self.runner()?;
                runner.keep_open();
                let surplus = runner.context().memory_slots().saturating_sub(held);
                runner.evict(surplus);
            }
            ScoreMode::None | ScoreMode::Reread => {
                self.runner()?.drop_open();
                self.next.clone_from(&self.after_bos);
                if self.mode == ScoreMode::Reread {
                    self.read_again(again)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a whole chunk in: its text is only run where something will see it.
    pub(super) fn take(&mut self, chunk: &Chunk) -> Result<()> {
        let unseen = match self.mode {
            ScoreMode::Folded => !self.fold.visual_sees_text,
            ScoreMode::None | ScoreMode::Reread => true,
            ScoreMode::Full | ScoreMode::Window => false,
        };
        if !unseen {
            self.read(&chunk.ids)?;
        }
        self.close(chunk)
    }

    fn read_again(&mut self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() { Ok(()) } else { self.unfold(ids) }
    }

    /// Keeps the open chunk, which is `ids`, as raw text for good: without what was read again in front of it.
    pub(super) fn keep(&mut self, ids: &[u32]) -> Result<()> {
        if self.runner()?.context().unfolded_slots() > 0 {
            self.runner()?.drop_open();
            self.read(ids)?;
        }
        self.runner()?.keep_open();
        Ok(())
    }

    /// Reads `ids` again as text in front of the next chunk, in place of what was read again before.
    pub(super) fn unfold(&mut self, ids: &[u32]) -> Result<()> {
        self.runner()?.drop_open();
        self.next = self.runner()?.unfold(ids, Want::Last).wait()?.last().to_vec();
        Ok(())
    }

    /// What the model writes next, without space in front: at least `characters` characters, in twice as many tokens at most.
    pub(super) fn answer(&mut self, characters: usize) -> Result<String> {
        let tokenizer = self.tokenizer.clone();
        let answer = |ids: &[u32]| tokenizer.decode(ids).trim_start().to_owned();
        let ids = self.write(2 * characters, &[], |ids| answer(ids).chars().count() >= characters)?;
        Ok(answer(&ids))
    }

    /// Writes the likeliest tokens until `enough` says so of the ids so far, or `most` are written. Ids in `banned` are
    /// never written.
    pub(super) fn write(&mut self, most: usize, banned: &[u32], enough: impl Fn(&[u32]) -> bool) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        while ids.len() < most && !enough(&ids) {
            let id = likeliest(&self.next, banned);
            ids.push(id);
            self.next = self.runner()?.extend(&[id], Want::Last).wait()?.last().to_vec();
        }
        Ok(ids)
    }
}

fn likeliest(logits: &[f32], banned: &[u32]) -> u32 {
    let allowed = logits
        .iter()
        .enumerate()
        .filter(|(id, _)| !banned.contains(&(*id as u32)));
    let best = allowed.fold(
        (0, f32::NEG_INFINITY),
        |best, (id, &x)| if x > best.1 { (id, x) } else { best },
    );
    best.0 as u32
}
