//! One variant through naga's parser and validator, with faults brought back to the line of the source file.

use std::error::Error;

use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use super::preprocess::{Expanded, Fault, Sources};

/// A valid module.
pub(crate) struct Checked {
    pub(crate) module: Module,
    pub(crate) info: ModuleInfo,
}

/// Parses and validates; `subgroups` allows subgroup operations, nothing else beyond the portable set is allowed.
///
/// # Errors
/// What naga finds wrong, at the line it came from.
pub(crate) fn check(
    sources: &Sources,
    path: &str,
    expanded: &Expanded,
    subgroups: bool,
) -> Result<Checked, Vec<Fault>> {
    let at = |line: Option<u32>, message: String| {
        let origin = line.and_then(|line| expanded.origins.get((line as usize).checked_sub(1)?));
        let (file, line) = origin.cloned().unwrap_or_else(|| (path.into(), 1));
        let text = sources.get(&file).and_then(|text| text.lines().nth(line - 1));
        let quoted = text.map_or(String::new(), |text| format!("\n    | {}", text.trim()));
        vec![Fault {
            file,
            line,
            message: message + &quoted,
        }]
    };
    let text = &expanded.text;
    let module = naga::front::wgsl::parse_str(text).map_err(|error| {
        let label = error.labels().next().map_or("", |(_, label)| label);
        let detail = if label.is_empty() {
            String::new()
        } else {
            format!(" ({label})")
        };
        at(
            error.location(text).map(|l| l.line_number),
            format!("{}{detail}", error.message()),
        )
    })?;
    // `unpack2x16float` is in WebGPU's core (naga has a capability for it because OpenGL ES 3.0 lacks it).
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, subgroups);
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| {
            let mut message = error.as_inner().to_string();
            let mut cause: &dyn Error = error.as_inner();
            while let Some(next) = cause.source() {
                message = format!("{message}: {next}");
                cause = next;
            }
            // The first span is the innermost: the expression, then the statement or function around it.
            at(error.location(text).map(|l| l.line_number), message)
        })?;
    Ok(Checked { module, info })
}
