//! What `build.rs` does, as modules that the crate's tests include too: preprocess, validate, reflect, generate.

pub(crate) mod docs;
pub(crate) mod generate;
pub(crate) mod header;
pub(crate) mod preprocess;
pub(crate) mod reflect;
pub(crate) mod report;
pub(crate) mod validate;

use std::collections::BTreeSet;

use header::{Axis, Choice, Header};
use preprocess::{Fault, Flags, Sources};
use reflect::Reflection;
use report::Report;

/// A kernel file with all its variants.
#[derive(Debug)]
pub(crate) struct File {
    /// `mat_vec`, the name of the file.
    pub(crate) name: String,
    pub(crate) header: Header,
    /// In the order of [`header::choices`].
    pub(crate) variants: Vec<Variant>,
}

/// One WGSL module.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) choice: Choice,
    /// `mat_vec[f16,plain]`
    pub(crate) label: String,
    pub(crate) source: String,
    pub(crate) subgroups: bool,
    pub(crate) reflection: Reflection,
}

/// All kernels, and the axes of all of them together.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) files: Vec<File>,
    pub(crate) axes: Vec<Axis>,
}

/// Preprocesses and checks every variant of every kernel.
///
/// # Errors
/// A report of all faults of all variants.
pub(crate) fn table(sources: &Sources) -> Result<Table, Report> {
    let mut report = Report::default();
    let mut headers = Vec::new();
    for (path, text) in sources {
        let Some(name) = path.strip_suffix(".wgsl").filter(|name| !name.contains('/')) else {
            continue;
        };
        match header::read(path, text) {
            Ok(header) => headers.push((name, path, header)),
            Err(faults) => report.faults("", faults),
        }
    }
    let axes = header::merge(headers.iter().map(|(_, _, header)| header)).unwrap_or_else(|names| {
        let message = format!(
            "kernels give the values of {} in contradicting orders",
            names.join(", ")
        );
        report.say("", &message);
        Vec::new()
    });
    let known: BTreeSet<String> = axes
        .iter()
        .flat_map(|axis| axis.values.iter().map(|value| header::flag(&axis.name, value)))
        .collect();
    let mut files = Vec::new();
    for (name, path, header) in headers {
        let fault = |message| Fault {
            file: path.clone(),
            line: 1,
            message,
        };
        report.faults("", header::lacks(&header, &axes).into_iter().map(fault).collect());
        let mut variants = Vec::new();
        for choice in header::choices(&header.axes) {
            let label = label(name, &choice);
            match variant(sources, path, &known, label.clone(), choice) {
                Ok(variant) => variants.push(variant),
                Err(faults) => report.faults(&label, faults),
            }
        }
        report.faults("", reflect::disagreements(path, &variants));
        files.push(File {
            name: name.into(),
            header,
            variants,
        });
    }
    if report.is_empty() {
        Ok(Table { files, axes })
    } else {
        Err(report)
    }
}

fn label(name: &str, choice: &Choice) -> String {
    if choice.is_empty() {
        return name.into();
    }
    let values: Vec<&str> = choice.iter().map(|(_, value)| value.as_str()).collect();
    format!("{name}[{}]", values.join(","))
}

fn variant(
    sources: &Sources,
    path: &str,
    known: &BTreeSet<String>,
    label: String,
    choice: Choice,
) -> Result<Variant, Vec<Fault>> {
    let set: BTreeSet<String> = choice.iter().map(|(axis, value)| header::flag(axis, value)).collect();
    let expanded = preprocess::expand(sources, path, &Flags { known, set: &set })?;
    // The flags that the build itself knows: they say which capabilities a variant may use.
    let subgroups = ["STYLE_broadcast", "STYLE_subgroup"]
        .iter()
        .any(|&flag| set.contains(flag));
    let module = validate::check(sources, path, &expanded, subgroups)?;
    let docs = docs::read(sources, &expanded);
    let reflection = reflect::read(&module, &docs).map_err(|messages| {
        let fault = |message| Fault {
            file: path.into(),
            line: 1,
            message,
        };
        messages.into_iter().map(fault).collect::<Vec<_>>()
    })?;
    Ok(Variant {
        choice,
        label,
        source: expanded.text,
        subgroups,
        reflection,
    })
}

#[cfg(test)]
mod tests;
