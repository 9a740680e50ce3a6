//! Slots of a folded context as a function of its tokens (spec section 3).

use crate::config::FoldConfig;

/// How many tokens fill a page and how many slots it then takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Tokens in a full chunk: K, or fewer where pages fill up before that.
    pub tokens_per_page: usize,
    /// β: visual tokens of a full page.
    pub visual_tokens: usize,
    /// Tokens at the end of a page that are read again in front of the chunk after it.
    pub reread_tokens: usize,
    /// Whether a part-filled page takes slots in proportion to its text.
    pub skip_blank_patches: bool,
}

impl Slots {
    /// The rule of a model whose chunks hold `tokens_per_page` tokens (at least 1, at most K).
    pub fn new(fold: &FoldConfig, tokens_per_page: usize) -> Self {
        Self {
            tokens_per_page: tokens_per_page.clamp(1, fold.chunk_tokens.max(1)),
            visual_tokens: fold.visual_tokens,
            reread_tokens: fold.reread_tokens,
            skip_blank_patches: fold.skip_blank_patches,
        }
    }

    /// Visual tokens of a page of `tokens` tokens.
    pub fn page(&self, tokens: usize) -> usize {
        if self.skip_blank_patches {
            (tokens * self.visual_tokens)
                .div_ceil(self.tokens_per_page)
                .clamp(1, self.visual_tokens)
        } else {
            self.visual_tokens
        }
    }

    /// What a prompt of `tokens` tokens is divided into: full pages, the tokens of a last page (a tail is folded when it is
    /// longer than β), and the tokens left raw.
    pub fn prompt_parts(&self, tokens: usize) -> (usize, Option<usize>, usize) {
        let (full, tail) = (tokens / self.tokens_per_page, tokens % self.tokens_per_page);
        if tail > self.visual_tokens {
            (full, Some(tail), 0)
        } else {
            (full, None, tail)
        }
    }

    /// Slots of a prompt of `tokens` tokens, without BOS: 3,784 tokens take 1,024 at K = 1024, β = 256.
    pub fn prompt(&self, tokens: usize) -> usize {
        let (full, last, raw) = self.prompt_parts(tokens);
        full * self.visual_tokens + last.map_or(0, |tokens| self.page(tokens)) + raw
    }

    /// Tokens read again in front of generated chunk `chunk`; `before`: tokens of the page that ends what was given, 0 where
    /// none does.
    pub fn reread(&self, chunk: usize, before: usize) -> usize {
        let page = if chunk > 0 { self.tokens_per_page } else { before };
        self.reread_tokens.min(page)
    }

    /// Slots that `tokens` generated tokens add: full chunks are folded, the open chunk is text, with what is read again in
    /// front of it; `before` as for [`Self::reread`].
    pub fn generated(&self, tokens: usize, before: usize) -> usize {
        let (chunks, open) = (tokens / self.tokens_per_page, tokens % self.tokens_per_page);
        let again = if open > 0 { self.reread(chunks, before) } else { 0 };
        chunks * self.visual_tokens + again + open
    }

    /// Most slots that unfolding `pages` pages takes: their text, and the last tokens before the chunk.
    pub fn unfolded(&self, pages: usize) -> usize {
        match pages {
            0 => 0,
            pages => pages
                .saturating_mul(self.tokens_per_page)
                .saturating_add(self.visual_tokens.max(self.reread_tokens)),
        }
    }

    /// Most slots that generating `tokens` tokens ever adds: just before its last fold, or at the end.
    /// `before` as for [`Self::reread`].
    pub fn generated_peak(&self, tokens: usize, before: usize) -> usize {
        let before_fold = match tokens / self.tokens_per_page {
            0 => 0,
            folds => (folds - 1) * self.visual_tokens + self.reread(folds - 1, before) + self.tokens_per_page,
        };
        before_fold.max(self.generated(tokens, before))
    }
}
