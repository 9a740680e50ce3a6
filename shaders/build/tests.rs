//! The whole way from WGSL text to the table.

use super::*;

/// A correct kernel of two styles.
const GOOD: &str = "//! Doubles.
//! variants: STYLE = serial plain
struct Params {
    // How many.
    count: u32,
    scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// What comes out.
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#if STYLE_serial
const LANES: u32 = 8u;
#else
const LANES: u32 = 32u * 2u;
#endif
@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < p.count {
        y[id.x] = p.scale * x[id.x];
    }
}
";

fn run(files: &[(&str, &str)]) -> Result<Table, Report> {
    table(
        &files
            .iter()
            .map(|(p, t)| (String::from(*p), String::from(*t)))
            .collect(),
    )
}

/// The report for the good kernel after a replacement.
fn broken(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the kernel");
    run(&[("double.wgsl", &GOOD.replace(from, to))])
        .unwrap_err()
        .to_string()
}

#[test]
fn interface_of_a_good_kernel() {
    let table = run(&[("double.wgsl", GOOD)]).unwrap();
    let [serial, plain] = table.files[0].variants.as_slice() else {
        panic!("two variants")
    };
    assert_eq!(
        (serial.label.as_str(), plain.label.as_str()),
        ("double[serial]", "double[plain]")
    );
    let of = &plain.reflection;
    assert!(
        plain.source.contains("32u * 2u") && !plain.source.contains("8u;"),
        "{}",
        plain.source
    );
    assert!(
        !plain.source.contains('#') && !plain.source.contains("//"),
        "{}",
        plain.source
    );
    assert_eq!(of.workgroup_size, [64, 1, 1]);
    assert_eq!(serial.reflection.workgroup_size, [8, 1, 1]);
    assert_eq!(of.consts, [("LANES".to_string(), 64)]);
    let members: Vec<_> = of
        .members
        .iter()
        .map(|m| (m.name.as_str(), m.ty, m.docs.as_str()))
        .collect();
    assert_eq!(members, [("count", "u32", "How many."), ("scale", "f32", "")]);
    let bindings: Vec<_> = of
        .bindings
        .iter()
        .map(|b| (b.name.as_str(), b.writable, b.docs.as_str()))
        .collect();
    assert_eq!(bindings, [("x", false, ""), ("y", true, "What comes out.")]);
    let rust = generate::rust(&table);
    assert!(rust.contains("pub _pad: [u32; 2],"), "{rust}");
    assert!(rust.contains("params_size: 16,"), "{rust}");
}

#[test]
fn faults_of_naga_come_with_file_line_and_variants() {
    let report = broken("p.scale * x", "p.scale * z");
    assert!(
        report.starts_with("shaders/double.wgsl:20: no definition in scope"),
        "{report}"
    );
    assert!(report.contains("| y[id.x] = p.scale * z[id.x];"), "{report}");
    assert!(report.contains("in double[serial] double[plain]"), "{report}");
    // In one variant only, and only to the validator: the function is never called.
    let report = broken(
        "const LANES: u32 = 8u;",
        "const LANES: u32 = 8u;\nfn f() -> u32 { return 1.5f; }",
    );
    assert!(report.contains("shaders/double.wgsl:14: "), "{report}");
    assert!(report.contains("in double[serial]\n"), "{report}");
}

#[test]
fn all_faults_of_all_files_are_reported_at_once() {
    let bad = GOOD.replace("p.scale * x", "p.scale * z");
    let report = run(&[("a.wgsl", &bad), ("b.wgsl", "#if\n"), ("c.wgsl", &bad)])
        .unwrap_err()
        .to_string();
    for file in ["shaders/a.wgsl:20", "shaders/b.wgsl:1", "shaders/c.wgsl:20"] {
        assert!(report.contains(file), "{file} in {report}");
    }
}

#[test]
fn subgroups_only_where_the_style_says_so() {
    let subgroup = "p.scale * subgroupAdd(x[id.x])";
    let kernel = GOOD.replace("p.scale * x[id.x]", subgroup);
    let report = run(&[("k.wgsl", &kernel)]).unwrap_err().to_string();
    assert!(report.contains("in k[serial] k[plain]"), "{report}");
    let kernel = kernel
        .replace("STYLE = serial plain", "STYLE = subgroup")
        .replace("STYLE_serial", "STYLE_subgroup");
    let table = run(&[("k.wgsl", &kernel)]).unwrap();
    assert!(table.files[0].variants[0].subgroups);
}

#[test]
fn portable_limits() {
    let report = broken("const LANES: u32 = 8u;", "const LANES: u32 = 512u;");
    assert!(
        report.contains("512 invocations") && report.contains("in double[serial]\n"),
        "{report}"
    );
    let shared = "var<workgroup> big: array<f32, 4097>;\n";
    let used = GOOD.replace("if id.x <", "big[0] = 1.0;\n    if id.x <");
    let report = run(&[("k.wgsl", &(used.clone() + shared))]).unwrap_err().to_string();
    assert!(report.contains("16400 bytes of workgroup memory"), "{report}");
    run(&[("k.wgsl", &(used + &shared.replace("4097", "4096")))]).unwrap();
    let mut many = String::from(GOOD);
    for i in 3..10 {
        many += &format!("@group(0) @binding({i}) var<storage, read> more{i}: array<f32>;\n");
    }
    let report = run(&[("k.wgsl", &many)]).unwrap_err().to_string();
    assert!(report.contains("9 storage buffers"), "{report}");
}

#[test]
fn rules_for_the_interface() {
    for (from, to, expected) in [
        ("@binding(2)", "@binding(3)", "`y` has binding 3"),
        (
            "    scale: f32,",
            "    scale: f32,
    more: vec2<f32>,",
            "Params.more must be u32, i32 or f32",
        ),
        (
            "    scale: f32",
            "    @align(16) scale: f32",
            "Params.scale lies at byte 16",
        ),
        ("fn main(", "fn start(", "one entry point"),
        (
            "@group(0) @binding(2)",
            "@group(1) @binding(2)",
            "`y` must be in group 0",
        ),
    ] {
        let report = broken(from, to);
        assert!(report.contains(expected), "{expected:?} in {report}");
    }
}

#[test]
fn variants_must_agree() {
    let report = broken(
        "    scale: f32,",
        "#if STYLE_serial\n    scale: f32,\n#else\n    scale: f32,\n    more: f32,\n#endif",
    );
    assert!(report.contains("double[serial] and double[plain] differ"), "{report}");
}

#[test]
fn only_a_style_may_be_left_out() {
    let header = |axes: &str| header::read("k.wgsl", &format!("//! A kernel.\n//! variants: {axes}\n")).unwrap();
    let whole = header("WEIGHT = f32 f16 q4_0; STYLE = serial plain");
    assert!(header::lacks(&header("STYLE = serial"), &whole.axes).is_empty());
    assert!(header::lacks(&header("WEIGHT = f32 f16 q4_0"), &whole.axes).is_empty());
    let faults = header::lacks(&header("WEIGHT = f32; STYLE = plain"), &whole.axes);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("axis WEIGHT lacks f16, q4_0"), "{}", faults[0]);
}

#[test]
fn fallback_takes_the_nearest_earlier_value() {
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(String::from).collect() };
    let all = words("serial plain subgroup");
    assert_eq!(generate::fallback(&all, &words("serial plain")), [0, 1, 1]);
    assert_eq!(generate::fallback(&all, &words("serial subgroup")), [0, 0, 1]);
    assert_eq!(generate::fallback(&all, &words("plain")), [0, 0, 0]);
}
