//! The header of a kernel file: documentation and the axes of its variants.

use std::collections::BTreeSet;

use super::preprocess::Fault;

/// One axis of variants: `WEIGHT = f32 f16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// What the `//!` lines at the top of a kernel file say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Documentation lines without the `//!`.
    pub(crate) docs: Vec<String>,
    pub(crate) axes: Vec<Axis>,
}

/// Reads the header of `file`.
///
/// # Errors
/// No documentation, or a `variants:` line that is no list of `AXIS = value …`.
pub(crate) fn read(file: &str, text: &str) -> Result<Header, Vec<Fault>> {
    let mut header = Header::default();
    let mut faults = Vec::new();
    let mut fault = |line: usize, message: String| {
        faults.push(Fault {
            file: file.into(),
            line,
            message,
        });
    };
    for (index, line) in text.lines().enumerate() {
        let Some(line) = line.strip_prefix("//!") else { break };
        let line = line.strip_prefix(' ').unwrap_or(line);
        let Some(axes) = line.strip_prefix("variants:") else {
            header.docs.push(line.trim_end().into());
            continue;
        };
        for axis in axes.split(';') {
            match parse_axis(axis) {
                Ok(axis) if header.axes.iter().any(|a| a.name == axis.name) => {
                    fault(index + 1, format!("axis {} is given twice", axis.name));
                }
                Ok(axis) => header.axes.push(axis),
                Err(message) => fault(index + 1, message),
            }
        }
    }
    if header.docs.iter().all(String::is_empty) {
        fault(
            1,
            "the file must begin with `//! ` lines that say what the kernel does".into(),
        );
    }
    if faults.is_empty() { Ok(header) } else { Err(faults) }
}

fn parse_axis(text: &str) -> Result<Axis, String> {
    let wrong = || format!("`{}` is no axis: write `AXIS = value value`", text.trim());
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let name = name.trim();
    let values: Vec<String> = values.split_whitespace().map(String::from).collect();
    let upper = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase());
    let word = |v: &String| {
        v.starts_with(|c: char| c.is_ascii_lowercase())
            && v.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !upper || values.is_empty() || !values.iter().all(word) {
        return Err(wrong());
    }
    if values.iter().collect::<BTreeSet<_>>().len() != values.len() {
        return Err(format!("axis {name} gives a value twice"));
    }
    Ok(Axis {
        name: name.into(),
        values,
    })
}

/// One choice of values, in the order of the axes: `[("WEIGHT", "f16"), ("STYLE", "plain")]`.
pub(crate) type Choice = Vec<(String, String)>;

/// Every choice of values, the last axis running fastest.
pub(crate) fn choices(axes: &[Axis]) -> Vec<Choice> {
    let mut all: Vec<Choice> = vec![Vec::new()];
    for axis in axes {
        all = all
            .iter()
            .flat_map(|choice| {
                axis.values.iter().map(move |value| {
                    let mut longer = choice.clone();
                    longer.push((axis.name.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    all
}

/// The one axis of which a file may leave values out: a style is a way to compute the same, and others can stand in.
pub(crate) const STYLE: &str = "STYLE";

/// What is wrong with a file that lacks values of an axis which other files give: a kernel that took other weights than
/// it was asked for would compute something else.
pub(crate) fn lacks(header: &Header, all: &[Axis]) -> Vec<String> {
    let lacks_of = |axis: &Axis| {
        let whole = all.iter().find(|a| a.name == axis.name && a.name != STYLE)?;
        let missing: Vec<&str> = whole
            .values
            .iter()
            .filter(|value| !axis.values.contains(value))
            .map(String::as_str)
            .collect();
        (!missing.is_empty()).then(|| {
            format!(
                "axis {} lacks {}, which other kernels have: only {STYLE} may leave values out",
                axis.name,
                missing.join(", ")
            )
        })
    };
    header.axes.iter().filter_map(lacks_of).collect()
}

/// The flag that stands for a value: `WEIGHT_f16`.
pub(crate) fn flag(axis: &str, value: &str) -> String {
    format!("{axis}_{value}")
}

/// The axes of all files as one list, each with every value that some file gives, in an order that agrees with each
/// file's own.
///
/// # Errors
/// Names of axes whose files contradict each other in the order of values.
pub(crate) fn merge<'a>(files: impl Iterator<Item = &'a Header>) -> Result<Vec<Axis>, Vec<String>> {
    let mut lists: Vec<(String, Vec<&[String]>)> = Vec::new();
    for axis in files.flat_map(|header| &header.axes) {
        match lists.iter_mut().find(|(name, _)| *name == axis.name) {
            Some((_, all)) => all.push(&axis.values),
            None => lists.push((axis.name.clone(), vec![&axis.values])),
        }
    }
    let mut merged = Vec::new();
    let mut wrong = Vec::new();
    for (name, all) in lists {
        match order(&all) {
            Some(values) => merged.push(Axis { name, values }),
            None => wrong.push(name),
        }
    }
    if wrong.is_empty() { Ok(merged) } else { Err(wrong) }
}

/// One order of all values that keeps every list's order; none if they contradict each other.
fn order(lists: &[&[String]]) -> Option<Vec<String>> {
    let mut done: Vec<String> = Vec::new();
    loop {
        let mut left = lists
            .iter()
            .flat_map(|list| list.iter())
            .filter(|v| !done.contains(*v))
            .peekable();
        left.peek()?;
        // Free: no list has a value before it that still waits.
        let free = left.find(|value| {
            lists.iter().all(|list| {
                list.iter()
                    .position(|v| v == *value)
                    .is_none_or(|at| list[..at].iter().all(|v| done.contains(v)))
            })
        })?;
        done.push(free.clone());
        if lists.iter().all(|list| list.iter().all(|v| done.contains(v))) {
            return Some(done);
        }
    }
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
