use super::*;

fn set(flags: &[&str]) -> BTreeSet<String> {
    flags.iter().map(|f| String::from(*f)).collect()
}

fn files(files: &[(&str, &str)]) -> Sources {
    files
        .iter()
        .map(|(p, t)| (String::from(*p), String::from(*t)))
        .collect()
}

/// Expands `k.wgsl` with flags A, B and C known.
fn run(sources: &Sources, on: &[&str]) -> Result<Expanded, Vec<Fault>> {
    let flags = Flags {
        known: &set(&["A", "B", "C"]),
        set: &set(on),
    };
    expand(sources, "k.wgsl", &flags)
}

fn text(source: &str, on: &[&str]) -> String {
    run(&files(&[("k.wgsl", source)]), on).unwrap().text.replace('\n', " ")
}

fn faults(source: &str) -> Vec<String> {
    let faults = run(&files(&[("k.wgsl", source)]), &[]).unwrap_err();
    faults.iter().map(Fault::to_string).collect()
}

#[test]
fn branches_follow_the_flags() {
    let source = "#if A\na\n#elif B\nb\n#elif A || C\nc\n#else\ne\n#endif\nend";
    for (on, expected) in [
        (&["A"][..], "a end "),
        (&["B"], "b end "),
        (&["A", "B"], "a end "),
        (&["C"], "c end "),
        (&[], "e end "),
    ] {
        assert_eq!(text(source, on), expected, "{on:?}");
    }
}

#[test]
fn negation_and_alternatives() {
    let source = "#if !A || B\nx\n#endif";
    assert_eq!(text(source, &[]), "x ");
    assert_eq!(text(source, &["A"]), "");
    assert_eq!(text(source, &["A", "B"]), "x ");
}

#[test]
fn nested_branches_need_all_around_them() {
    let source = "#if A\n#if B\nab\n#else\na\n#endif\n#else\n#if B\nb\n#else\nnone\n#endif\n#endif";
    for (on, expected) in [(&["A", "B"][..], "ab "), (&["A"], "a "), (&["B"], "b "), (&[], "none ")] {
        assert_eq!(text(source, on), expected, "{on:?}");
    }
}

#[test]
fn parts_come_in_once_and_only_where_they_are_live() {
    let sources = files(&[
        ("k.wgsl", "#import p\nk\n#import p\n#if A\n#import q\n#endif"),
        ("shared/p.wgsl", "// A comment.\n\np"),
        ("shared/q.wgsl", "#import p\nq"),
    ]);
    assert_eq!(run(&sources, &[]).unwrap().text, "p\nk\n");
    let all = run(&sources, &["A"]).unwrap();
    assert_eq!(all.text, "p\nk\nq\n");
    let origins = [("shared/p.wgsl", 3), ("k.wgsl", 2), ("shared/q.wgsl", 2)];
    assert_eq!(all.origins, origins.map(|(file, line)| (String::from(file), line)));
}

#[test]
fn parts_may_import_each_other() {
    let sources = files(&[
        ("k.wgsl", "#import p"),
        ("shared/p.wgsl", "#import q\np"),
        ("shared/q.wgsl", "#import p\nq"),
    ]);
    assert_eq!(run(&sources, &[]).unwrap().text, "q\np\n");
}

#[test]
fn faults_name_file_and_line() {
    for (source, expected) in [
        (
            "x\n#include p",
            "shaders/k.wgsl:2: unknown directive #include: there are #import, #if, #elif, #else and #endif",
        ),
        (
            "#if D\n#endif",
            "shaders/k.wgsl:1: unknown flag `D`: no kernel's `variants:` line gives it",
        ),
        (
            "\n#import p",
            "shaders/k.wgsl:2: #import p: there is no shaders/shared/p.wgsl",
        ),
        (
            "#if A ||\n#endif",
            "shaders/k.wgsl:1: a flag is missing in the condition `A ||`",
        ),
        ("#if A\nx", "shaders/k.wgsl:1: this #if has no #endif"),
        ("#endif", "shaders/k.wgsl:1: #endif without #if"),
        ("#else", "shaders/k.wgsl:1: #else without #if"),
        ("#elif A", "shaders/k.wgsl:1: #elif without #if"),
        ("#if A\n#else\n#else\n#endif", "shaders/k.wgsl:3: a second #else"),
        ("#if A\n#else\n#elif B\n#endif", "shaders/k.wgsl:3: #elif after #else"),
        ("#if A\n#endif A", "shaders/k.wgsl:2: #endif takes nothing, found `A`"),
    ] {
        assert_eq!(faults(source), [expected], "{source:?}");
    }
}

#[test]
fn all_faults_are_reported_dead_branches_included() {
    let all = faults("#if A\n#if X\n#import nothing\n#endif\n#endif\n#end");
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn a_part_must_close_its_own_branches() {
    let sources = files(&[("k.wgsl", "#import p\nk\n#endif"), ("shared/p.wgsl", "#if A\np")]);
    let all = run(&sources, &["A"]).unwrap_err();
    let places: Vec<_> = all.iter().map(|f| (f.file.as_str(), f.line)).collect();
    assert_eq!(places, [("shared/p.wgsl", 1), ("k.wgsl", 3)]);
}

proptest::proptest! {
    /// Whatever the flags, the lines of an if-elif-else chain are those that evaluating the conditions in order gives.
    #[test]
    fn chains_take_the_first_that_holds(a in 0..2, b in 0..2, c in 0..2, chain in proptest::collection::vec((0..3usize, proptest::bool::ANY), 1..5)) {
        let names = ["A", "B", "C"];
        let values = [a == 1, b == 1, c == 1];
        let on: Vec<&str> = (0..3).filter(|&i| values[i]).map(|i| names[i]).collect();
        let mut source = String::new();
        for (i, (flag, negated)) in chain.iter().enumerate() {
            let word = if i == 0 { "if" } else { "elif" };
            let not = if *negated { "!" } else { "" };
            source += &format!("#{word} {not}{}\nline{i}\n", names[*flag]);
        }
        source += "#else\nnone\n#endif\n";
        let expected = chain.iter().position(|(flag, negated)| values[*flag] != *negated);
        let expected = expected.map_or("none ".to_string(), |i| format!("line{i} "));
        proptest::prop_assert_eq!(text(&source, &on), expected);
    }
}
