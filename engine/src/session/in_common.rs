//! Which pages have something in common with what was written last: what a search would find.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Tokens of the runs that are compared.
const RUN: usize = 3;

/// For every page the runs of three tokens that it has in common with `tokens[question]`, each divided by the number of pages that have it:
/// what stands everywhere says little. `pages`: where each page's tokens are; those that are the question's own do not count.
pub fn in_common(tokens: &[u32], pages: &[Range<usize>], question: Range<usize>) -> Vec<f64> {
    let asked: HashSet<&[u32]> = tokens[question.clone()].windows(RUN).collect();
    let found: Vec<HashSet<&[u32]>> = pages
        .iter()
        .map(|page| {
            let end = page.end.min(question.start).max(page.start);
            let runs = tokens[page.start..end].windows(RUN);
            runs.filter(|run| asked.contains(run)).collect()
        })
        .collect();
    let mut of_pages: HashMap<&[u32], f64> = HashMap::new();
    for run in found.iter().flatten() {
        *of_pages.entry(run).or_default() += 1.0;
    }
    // Sorted, so that the sum's last bit is the same on every run: which page is taken may hang on it.
    let sum = |runs: &HashSet<&[u32]>| {
        let mut shares: Vec<f64> = runs.iter().map(|run| 1.0 / of_pages[run]).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares.iter().sum()
    };
    found.iter().map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_runs_weigh_more_and_the_question_itself_does_not_count() {
        let tokens = [
            1, 2, 3, 4, 9, 9, // has 1 2 3 and 2 3 4
            5, 1, 2, 3, 8, 8, // has 1 2 3
            0, 0, 7, 1, 2, 3, 4, // the question is its last four
        ];
        let pages = [0..6, 6..12, 12..19];
        assert_eq!(in_common(&tokens, &pages, 15..19), [1.5, 0.5, 0.0]);
    }

    #[test]
    fn short_questions_and_pages_have_nothing_in_common() {
        assert_eq!(in_common(&[1, 2, 1, 2], &[0..1, 1..2], 2..4), [0.0, 0.0]);
        assert_eq!(in_common(&[], &[], 0..0), Vec::<f64>::new());
    }
}
