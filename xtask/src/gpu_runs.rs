//! Which GPU test ran on which adapter: a GPU test that silently did not run is a bug.

use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// The tests that ran, by adapter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GpuRuns(BTreeMap<String, BTreeSet<String>>);

impl GpuRuns {
    /// Reads the suite's notes: `adapter TAB test`, a line each.
    pub(crate) fn parse(notes: &str) -> Self {
        let mut runs = Self::default();
        for (adapter, test) in notes.lines().filter_map(|line| line.split_once('\t')) {
            runs.0.entry(adapter.to_owned()).or_default().insert(test.to_owned());
        }
        runs
    }

    /// Checks that every one of `tests` ran on each adapter, and that there are `adapters` at least.
    ///
    /// # Errors
    /// What did not run where.
    pub(crate) fn check(&self, tests: &BTreeSet<String>, adapters: usize) -> Result<()> {
        if tests.is_empty() {
            bail!("the GPU suite has no tests");
        }
        for (adapter, ran) in &self.0 {
            let missing: Vec<&str> = tests.difference(ran).map(String::as_str).collect();
            if !missing.is_empty() {
                bail!("GPU tests that did not pass on {adapter}: {}", missing.join(", "));
            }
        }
        if self.0.len() < adapters {
            let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            bail!(
                "the GPU tests ran on {} adapters ({}), {adapters} are expected",
                names.len(),
                names.join("; ")
            );
        }
        Ok(())
    }

    /// A line for each adapter.
    pub(crate) fn lines(&self, expected: usize) -> Vec<String> {
        let line = |(adapter, ran): (&String, &BTreeSet<String>)| {
            format!("GPU tests on {adapter}: {} of {expected} ran", ran.len())
        };
        self.0.iter().map(line).collect()
    }
}

/// The names of tests in what `cargo test -- --list` prints, without their modules.
pub(crate) fn listed(list: &str) -> BTreeSet<String> {
    let names = list.lines().filter_map(|line| line.trim().strip_suffix(": test"));
    names
        .map(|name| name.rsplit("::").next().unwrap_or(name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_run_is_found() {
        let tests = listed("kernels::a: test\nb: test\n\n2 tests, 0 benchmarks\n");
        assert_eq!(tests, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        let whole = GpuRuns::parse("one\ta\ntwo\tb\none\tb\ntwo\ta\n");
        assert!(whole.check(&tests, 2).is_ok());
        assert_eq!(whole.lines(2)[0], "GPU tests on one: 2 of 2 ran");
        assert!(whole.check(&tests, 3).is_err(), "an adapter is missing");
        let part = GpuRuns::parse("one\ta\ntwo\tb\none\tb\n");
        let error = part.check(&tests, 2).unwrap_err().to_string();
        assert_eq!(error, "GPU tests that did not pass on two: a");
        assert!(GpuRuns::default().check(&tests, 1).is_err());
        assert!(GpuRuns::default().check(&tests, 0).is_ok());
        assert!(whole.check(&BTreeSet::new(), 2).is_err());
    }
}
