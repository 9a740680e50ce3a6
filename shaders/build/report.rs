//! Faults of all variants in one text: the same fault in many variants is said once.

use std::fmt;

use super::preprocess::Fault;

/// Faults with the labels of the variants that have them, in the order found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    entries: Vec<(String, Vec<String>)>,
}

impl Report {
    /// Adds faults of one variant; an empty label is for those of a whole file.
    pub(crate) fn faults(&mut self, label: &str, faults: Vec<Fault>) {
        for fault in faults {
            self.say(label, &fault.to_string());
        }
    }

    /// Adds one message.
    pub(crate) fn say(&mut self, label: &str, message: &str) {
        let labels = match self.entries.iter_mut().find(|(text, _)| text == message) {
            Some((_, labels)) => labels,
            None => {
                self.entries.push((message.into(), Vec::new()));
                &mut self.entries.last_mut().unwrap_or_else(|| unreachable!()).1
            }
        };
        if !label.is_empty() && !labels.iter().any(|l| l == label) {
            labels.push(label.into());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (message, labels) in &self.entries {
            writeln!(f, "{message}")?;
            if !labels.is_empty() {
                writeln!(f, "    in {}", labels.join(" "))?;
            }
        }
        Ok(())
    }
}
