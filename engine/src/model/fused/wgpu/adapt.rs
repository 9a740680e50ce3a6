//! Our WGSL as burn binds it.
//!
//! burn's wgpu runtime binds tensors from 0 on and, last, one buffer of small data. Tensors are parts of shared
//! buffers, and wgpu refuses a buffer that one binding reads and another writes: so every tensor is bound for reading
//! and writing. The data at the end has a buffer of its own: the parameters go there, and a table whose values loops
//! with barriers depend on, for which WGSL asks for memory that nobody can write.

use folio_shaders::Kernel;

/// The kernel's text with its bindings renumbered. `table`: a binding of vec4s that follows the parameters.
pub(super) fn adapt(kernel: &Kernel, table: Option<&str>) -> String {
    let mut next = 0;
    let mut element = None;
    let mut out = String::new();
    for line in kernel.source.lines() {
        let Some(declared) = line.trim_start().strip_prefix("@group(0)") else {
            out.push_str(&fields(line, table));
            out.push('\n');
            continue;
        };
        // `@binding(3) var<storage, read> name: type;`
        let (name, kind) = declared
            .split_once('>')
            .and_then(|(_, rest)| rest.trim().trim_end_matches(';').split_once(':'))
            .map(|(name, kind)| (name.trim(), kind.trim()))
            .unwrap_or_default();
        if declared.contains("var<uniform>") {
            continue;
        }
        if Some(name) == table {
            element = Some(kind);
            continue;
        }
        out.push_str(&format!(
            "@group(0) @binding({next}) var<storage, read_write> {name}: {kind};\n"
        ));
        next += 1;
    }
    let table = match (table, element) {
        (Some(name), Some(kind)) => format!("{name}: {kind},"),
        _ => String::new(),
    };
    out.push_str(&format!(
        "struct Small {{ p: Params, {table} }}\n@group(0) @binding({next}) var<storage, read> small: Small;\n"
    ));
    out
}

/// `p.x` and the table as members of the data at the end.
fn fields(line: &str, table: Option<&str>) -> String {
    let line = prefixed(line, "p.");
    match table {
        Some(name) => prefixed(&line, &format!("{name}[")),
        None => line,
    }
}

/// `small.` before every `word` that begins there.
fn prefixed(line: &str, word: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
        out.push_str(&rest[..at]);
        // Not the end of a longer name, nor a member of something.
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            out.push_str("small.");
        }
        out.push_str(word);
        rest = &rest[at + word.len()..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use folio_shaders::{Style, fold_chunk, visual_attention};

    #[test]
    fn members_are_found_and_other_names_left_alone() {
        assert_eq!(
            prefixed("p.rows + sup.rows + (p.x)", "p."),
            "small.p.rows + sup.rows + (small.p.x)"
        );
        assert_eq!(
            prefixed("row_spans[i] = spans[i];", "spans["),
            "row_spans[i] = small.spans[i];"
        );
    }

    #[test]
    fn tensors_are_bound_from_zero_and_small_data_last() {
        let text = adapt(fold_chunk::kernel(), None);
        assert!(text.contains("@group(0) @binding(0) var<storage, read_write> k: array<vec4<f32>>;"));
        assert!(text.contains("@group(0) @binding(1) var<storage, read_write> v: array<vec4<f32>>;"));
        assert!(text.contains("@group(0) @binding(2) var<storage, read> small: Small;"));
        assert!(!text.contains("uniform"));
    }

    #[test]
    fn the_table_is_no_binding_of_its_own() {
        for style in [Style::Serial, Style::Plain] {
            let text = adapt(visual_attention::kernel(style), Some("spans"));
            assert!(
                text.contains("struct Small { p: Params, spans: array<vec4<u32>>, }"),
                "{text}"
            );
            assert!(text.contains("@group(0) @binding(5) var<storage, read> small: Small;"));
            assert_eq!(text.matches("@binding").count(), 6);
        }
    }
}
