//! Comments of the WGSL that become documentation of the generated Rust: those right above a member of `Params` or a
//! binding.

use std::collections::BTreeMap;

use super::preprocess::{Expanded, Sources};

/// Documentation by name: members as `p.name`, bindings as `name`.
pub(crate) type Docs = BTreeMap<String, String>;

/// Collects the comments of the lines that made it into a variant.
pub(crate) fn read(sources: &Sources, expanded: &Expanded) -> Docs {
    let mut docs = Docs::new();
    let mut in_params = false;
    for (line, (file, number)) in expanded.text.lines().zip(&expanded.origins) {
        let line = line.trim();
        let name = if let Some((_, declaration)) = line.split_once("var<") {
            declaration
                .split_once('>')
                .and_then(|(_, rest)| word_before_colon(rest))
        } else if in_params {
            word_before_colon(line).map(|name| format!("p.{name}"))
        } else {
            None
        };
        if line.starts_with("struct Params") {
            in_params = true;
        } else if line.starts_with('}') {
            in_params = false;
        }
        let (Some(name), Some(text)) = (name, sources.get(file)) else {
            continue;
        };
        let comment = comment_above(text, *number);
        if !comment.is_empty() {
            docs.insert(name, comment);
        }
    }
    docs
}

fn word_before_colon(text: &str) -> Option<String> {
    let word = text.split_once(':')?.0.trim();
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word.then(|| word.into())
}

/// The comment lines right above line `number` (from 1 on), joined.
fn comment_above(text: &str, number: usize) -> String {
    let above: Vec<&str> = text.lines().take(number - 1).collect();
    let count = above
        .iter()
        .rev()
        .take_while(|line| line.trim().starts_with("//"))
        .count();
    let lines = above[above.len() - count..]
        .iter()
        .map(|line| line.trim().trim_start_matches('/').trim());
    lines.collect::<Vec<_>>().join(" ")
}
