//! The preprocessor of the WGSL sources: `#import`, `#if`, `#elif`, `#else`, `#endif`.
//!
//! Conditions are flags joined by `||`, each perhaps negated by `!`. WGSL itself has no line that begins with `#`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// File, relative to the crate's folder of shaders.
    pub(crate) file: String,
    /// Line, from 1 on.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shaders/{}:{}: {}", self.file, self.line, self.message)
    }
}

/// All WGSL files by path: `name.wgsl` for kernels, `shared/part.wgsl` for parts.
pub(crate) type Sources = BTreeMap<String, String>;

/// The flags there are, and those that hold.
pub(crate) struct Flags<'a> {
    pub(crate) known: &'a BTreeSet<String>,
    pub(crate) set: &'a BTreeSet<String>,
}

/// WGSL without directives, comment lines and blank lines.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// File and line that each line of `text` came from.
    pub(crate) origins: Vec<(String, usize)>,
}

/// An `#if` that is open.
struct Branch {
    line: usize,
    /// Lines around the `#if` are kept.
    outer: bool,
    /// Some branch up to here held.
    taken: bool,
    /// The present branch is kept (if `outer`).
    live: bool,
    after_else: bool,
}

/// Expands `file` with its imports.
///
/// # Errors
/// Every fault found in the file and what it imports.
pub(crate) fn expand(sources: &Sources, file: &str, flags: &Flags<'_>) -> Result<Expanded, Vec<Fault>> {
    let mut state = State {
        sources,
        flags,
        imported: BTreeSet::new(),
        out: Expanded::default(),
        faults: Vec::new(),
    };
    match sources.get(file) {
        Some(text) => state.file(file, text),
        None => state.fault(file, 0, "there is no such file".into()),
    }
    if state.faults.is_empty() {
        Ok(state.out)
    } else {
        Err(state.faults)
    }
}

struct State<'a> {
    sources: &'a Sources,
    flags: &'a Flags<'a>,
    imported: BTreeSet<String>,
    out: Expanded,
    faults: Vec<Fault>,
}

impl State<'_> {
    fn fault(&mut self, file: &str, line: usize, message: String) {
        self.faults.push(Fault {
            file: file.into(),
            line,
            message,
        });
    }

    fn file(&mut self, file: &str, text: &str) {
        let mut open: Vec<Branch> = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let content = raw.trim();
            let live = open.last().is_none_or(|b| b.outer && b.live);
            if let Some(directive) = content.strip_prefix('#') {
                let directive = directive.split("//").next().unwrap_or("").trim();
                let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
                self.directive(file, line, word, rest.trim(), live, &mut open);
            } else if live && !content.is_empty() && !content.starts_with("//") {
                self.out.text.push_str(raw.trim_end());
                self.out.text.push('\n');
                self.out.origins.push((file.into(), line));
            }
        }
        for branch in open {
            self.fault(file, branch.line, "this #if has no #endif".into());
        }
    }

    fn directive(&mut self, file: &str, line: usize, word: &str, rest: &str, live: bool, open: &mut Vec<Branch>) {
        if matches!(word, "else" | "endif") && !rest.is_empty() {
            self.fault(file, line, format!("#{word} takes nothing, found `{rest}`"));
        }
        match word {
            "import" => self.import(file, line, rest, live),
            "if" => {
                let holds = self.condition(file, line, rest);
                open.push(Branch {
                    line,
                    outer: live,
                    taken: holds,
                    live: holds,
                    after_else: false,
                });
            }
            "elif" => {
                let holds = self.condition(file, line, rest);
                match open.last_mut() {
                    Some(branch) if !branch.after_else => {
                        branch.live = holds && !branch.taken;
                        branch.taken |= holds;
                    }
                    Some(_) => self.fault(file, line, "#elif after #else".into()),
                    None => self.fault(file, line, "#elif without #if".into()),
                }
            }
            "else" => match open.last_mut() {
                Some(branch) if !branch.after_else => {
                    branch.live = !branch.taken;
                    branch.after_else = true;
                }
                Some(_) => self.fault(file, line, "a second #else".into()),
                None => self.fault(file, line, "#else without #if".into()),
            },
            "endif" => {
                if open.pop().is_none() {
                    self.fault(file, line, "#endif without #if".into());
                }
            }
            _ => self.fault(
                file,
                line,
                format!("unknown directive #{word}: there are #import, #if, #elif, #else and #endif"),
            ),
        }
    }

    fn import(&mut self, file: &str, line: usize, part: &str, live: bool) {
        let path = format!("shared/{part}.wgsl");
        let Some(text) = self.sources.get(&path) else {
            self.fault(file, line, format!("#import {part}: there is no shaders/{path}"));
            return;
        };
        if live && self.imported.insert(path.clone()) {
            self.file(&path, text);
        }
    }

    /// Whether a condition holds; faulty ones do not.
    fn condition(&mut self, file: &str, line: usize, condition: &str) -> bool {
        let mut holds = false;
        for term in condition.split("||").map(str::trim) {
            let (negated, flag) = match term.strip_prefix('!') {
                Some(flag) => (true, flag.trim()),
                None => (false, term),
            };
            if flag.is_empty() {
                self.fault(file, line, format!("a flag is missing in the condition `{condition}`"));
            } else if !self.flags.known.contains(flag) {
                self.fault(
                    file,
                    line,
                    format!("unknown flag `{flag}`: no kernel's `variants:` line gives it"),
                );
            } else {
                holds |= self.flags.set.contains(flag) != negated;
            }
        }
        holds
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
