//! `Context::extend_step` and `fold_step` against spec section 3: a store of KV rows whose content is the identity of the
//! element that wrote them. What a span holds must be what the rules say is seen, wherever rows were moved to.

use folio_engine::context::{Context, Span};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Debug, Clone)]
enum Op {
    Extend(usize),
    Fold(Vec<usize>, bool),
    Keep,
    Drop,
    /// This many per cent of the finished slots go.
    Evict(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1usize..9).prop_map(Op::Extend),
        4 => (prop::collection::vec(1usize..6, 1..4), any::<bool>()).prop_map(|(pages, sees)| Op::Fold(pages, sees)),
        1 => Just(Op::Keep),
        1 => Just(Op::Drop),
        1 => (0usize..=100).prop_map(Op::Evict),
    ]
}

/// What a runner keeps, and what the rules say beside it.
#[derive(Default)]
struct Store {
    context: Context,
    /// Which element wrote each KV row last.
    rows: Vec<usize>,
    /// Elements of finished segments and of the open chunk, in order.
    live: Vec<usize>,
    open: Vec<usize>,
    /// Positions that finished segments have used up.
    used: usize,
    next: usize,
}

impl Store {
    /// Writes `n` new elements from row `row` on; gives their identities.
    fn write(&mut self, row: usize, n: usize) -> Vec<usize> {
        let ids: Vec<usize> = (self.next..self.next + n).collect();
        self.next += n;
        // What lies between is garbage that nobody may see.
        self.rows.resize(self.rows.len().max(row + n), usize::MAX);
        self.rows[row..row + n].copy_from_slice(&ids);
        ids
    }

    fn seen(&self, span: &Span) -> BTreeSet<usize> {
        let rows: Vec<usize> = (0..self.rows.len()).filter(|&row| span.sees(row)).collect();
        assert_eq!(
            rows.len(),
            span.len(),
            "ranges that overlap, or rows that were never written"
        );
        rows.into_iter().map(|row| self.rows[row]).collect()
    }

    fn extend(&mut self, n: usize) {
        let step = self.context.extend_step(n);
        let ids = self.write(step.row, n);
        assert_eq!(step.position, self.used + self.open.len());
        assert_eq!(step.spans.len(), n);
        for (j, span) in step.spans.iter().enumerate() {
            let rules = self.live.iter().chain(&self.open).chain(&ids[..=j]);
            assert_eq!(self.seen(span), rules.copied().collect(), "token {j}");
        }
        self.context.extend(n);
        self.open.extend(ids);
    }

    fn fold(&mut self, pages: &[usize], sees_text: bool) {
        let (step, commit) = self.context.fold_step(pages, sees_text);
        let total: usize = pages.iter().sum();
        let ids = self.write(step.row, total);
        assert_eq!(
            step.position, self.used,
            "visual tokens overlap the text that they replace"
        );
        assert_eq!(self.context.fold_rows(pages), step.row + total);
        let mut start = 0;
        for (page, &n) in pages.iter().enumerate() {
            for t in start..start + n {
                // The pages before are finished segments to this one.
                let mut rules: BTreeSet<usize> = self.live.iter().chain(&ids[..=t]).copied().collect();
                if sees_text && page == 0 {
                    rules.extend(&self.open);
                }
                assert_eq!(self.seen(&step.spans[t]), rules, "visual token {t}, page {page}");
            }
            start += n;
        }
        assert_eq!(commit.is_some(), !self.open.is_empty());
        if let Some(commit) = commit {
            assert_eq!(commit.from.len(), total);
            assert!(
                commit.to + total <= commit.from.start,
                "rows that are moved onto each other"
            );
            self.rows.copy_within(commit.from, commit.to);
        }
        for &n in pages {
            self.context.fold(n);
        }
        self.live.extend(ids);
        self.used += total;
        self.open.clear();
    }

    fn evict(&mut self, percent: usize) {
        let n = self.live.len() * percent / 100;
        self.rows.copy_within(n..self.context.slots(), 0);
        self.context.evict(n);
        self.live.drain(..n);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Extend(n) => self.extend(*n),
            Op::Fold(pages, sees_text) => self.fold(pages, *sees_text),
            Op::Keep => {
                self.context.keep_open();
                self.used += self.open.len();
                self.live.append(&mut self.open);
            }
            Op::Drop => {
                self.context.drop_open();
                self.open.clear();
            }
            Op::Evict(percent) => self.evict(*percent),
        }
        // The rows of what is held come first, in order.
        let held: Vec<usize> = self.live.iter().chain(&self.open).copied().collect();
        assert_eq!(self.rows[..held.len()], held[..]);
        assert_eq!(self.context.slots(), held.len());
    }
}

proptest! {
    #[test]
    fn spans_hold_what_the_rules_say(ops in prop::collection::vec(op(), 1..25)) {
        let mut store = Store::default();
        for op in &ops {
            store.apply(op);
        }
    }
}
